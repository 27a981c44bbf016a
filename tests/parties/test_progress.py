import io
import logging
from types import SimpleNamespace

import pytest

from parties import progress
from parties.progress import QUIET_S, Terminal, line


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.mark.parametrize(
    ("done", "total", "elapsed_s", "shown"),
    [
        (0, 0, 0.0, "reading rows"),
        (0, 500, 9.0, "reading rows"),
        (20_000, 0, 0.4, "reading rows: 20,000"),
        (20_000, 0, 4.0, "reading rows: 20,000, 5,000/s"),
        (20_000, 50_000, 0.1, "reading rows: 20,000 of 50,000"),
        (20_000, 50_000, 4.0, "reading rows: 20,000 of 50,000, 5,000/s, 6 s left"),
        (50_000, 50_000, 10.0, "reading rows: 50,000 of 50,000, 5,000/s"),
        (60_000, 50_000, 10.0, "reading rows: 60,000 of 50,000, 6,000/s"),
        (1, 10**9, 1.0, "reading rows: 1 of 1,000,000,000, 1/s, 999999999 s left"),
    ],
)
def test_one_line(done: int, total: int, elapsed_s: float, shown: str) -> None:
    assert line("reading rows", done, total, elapsed_s) == shown


def test_a_terminals_line_rewrites_itself(clock: Clock) -> None:
    screen = Screen()
    show = Terminal(screen)
    show("reading rows", 0, 0)
    clock.now += 2
    show("reading rows", 10, 0)
    show("reading rows", 11, 0)
    clock.now += 0.19
    show("reading rows", 12, 0)
    clock.now += 0.02
    show("reading rows", 22, 0)
    show("uploading bytes", 7, 9)
    shown = [part.strip() for part in screen.getvalue().split("\r") if part.strip()]
    assert shown == ["reading rows", "reading rows: 10, 5/s", "reading rows: 22, 10/s", "uploading bytes: 7 of 9"]
    assert "\n" not in screen.getvalue()


def test_a_shorter_line_covers_a_longer_one(clock: Clock) -> None:
    screen = Screen()
    show = Terminal(screen)
    show("a long description of what is being done" * 5, 1, 2)
    show("b", 1, 2)
    written = screen.getvalue().split("\r")
    assert max(len(part) for part in written) <= 80
    assert len([part for part in written if part][-1]) == 78


def test_elsewhere_there_are_log_lines_now_and_then(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    show = Terminal(stream)
    with caplog.at_level(logging.INFO, "matchbit"):
        for k in range(26):
            show("reading rows", k, 25)
            clock.now += 1
        show("uploading bytes", 0, 0)
    assert stream.getvalue() == ""
    assert caplog.messages == [
        "reading rows",
        f"reading rows: {QUIET_S + 1:.0f} of 25, 1/s, 14 s left",
        "reading rows: 22 of 25, 1/s, 3 s left",
        "uploading bytes",
    ]


def test_every_kind_of_work_has_a_rate_of_its_own(clock: Clock) -> None:
    screen = Screen()
    show = Terminal(screen)
    show("first", 0, 0)
    clock.now += 100
    show("second", 50, 100)
    clock.now += 10
    show("second", 100, 200)
    assert "second: 100 of 200, 10/s, 10 s left" in screen.getvalue()
