"""What a scrape tells, over a real connection."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from parties import metrics
from parties.errors import ConfigError, StorageError
from parties.lifecycle import State
from parties.loopback import free_port

Labels = dict[str, str]


@pytest.fixture
def address() -> Iterator[str]:
    """Where metrics are served while a test runs."""
    at = f"127.0.0.1:{free_port()}"
    with metrics.served(at, "0.1.0-test"):
        yield at


def scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_counts_add_up() -> None:
    before = [value(f"matchbit_{what}_total") for what in ("rows", "received_bytes", "sent_bytes")]
    for count in (3, 1000):
        metrics.add_rows(count)
        metrics.received(10 * count)
        metrics.sent(100 * count)
    after = [value(f"matchbit_{what}_total") for what in ("rows", "received_bytes", "sent_bytes")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1003, 10030, 100300]


def test_refusals_runs_and_phases_have_a_label_each() -> None:
    refused, done = value("matchbit_refusals_total", status="ABORTED"), value("matchbit_runs_total", outcome="aborted")
    shuffles, seconds = (value(f"matchbit_phase_seconds_{what}", phase="shuffle") for what in ("count", "sum"))
    metrics.refused("ABORTED")
    metrics.run_ended(State.ABORTED)
    metrics.phase("shuffle", 2.5)
    assert value("matchbit_refusals_total", status="ABORTED") == refused + 1
    assert value("matchbit_runs_total", outcome="aborted") == done + 1
    assert value("matchbit_phase_seconds_count", phase="shuffle") == shuffles + 1
    assert value("matchbit_phase_seconds_sum", phase="shuffle") == seconds + 2.5


def test_a_scrape_asks_for_sessions_and_certificate(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {State.DONE: 2}
    monkeypatch.setattr(metrics._asked, "sessions", None)
    monkeypatch.setattr(metrics._asked, "certificate", None)
    assert "matchbit_sessions" not in scraped(address)
    metrics.ask_sessions(lambda: counts)
    metrics.ask_certificate(lambda: datetime(2027, 1, 1, tzinfo=UTC))
    text = scraped(address)
    assert 'matchbit_sessions{state="done"} 2.0' in text
    assert len(re.findall(r"^matchbit_sessions\{", text, re.MULTILINE)) == len(State)
    assert value("matchbit_certificate_expires_seconds") == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    counts[State.DONE] = 3
    assert 'matchbit_sessions{state="done"} 3.0' in scraped(address)


def test_what_cannot_be_had_is_missing_and_the_rest_is_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[State, int]:
        raise StorageError("The disk is gone.")

    monkeypatch.setattr(metrics._asked, "sessions", broken)
    monkeypatch.setattr(metrics._asked, "certificate", lambda: datetime(2027, 1, 1, tzinfo=UTC))
    text = scraped(address)
    assert "matchbit_sessions" not in text
    assert "matchbit_certificate_expires_seconds" in text


def test_version_and_process_are_told(address: str) -> None:
    text = scraped(address)
    assert re.search(r'^matchbit_build_info\{python="3\.\d+\.\d+",version="0\.1\.0-test"\} 1\.0$', text, re.MULTILINE)
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert re.search(rf"^{name} ", text, re.MULTILINE)


def test_every_figure_says_what_it_is(address: str) -> None:
    text = scraped(address)
    names = set(re.findall(r"^# TYPE (matchbit_\S+)", text, re.MULTILINE))
    assert names
    for name in names:
        assert re.search(rf"^# HELP {name} [A-Z].*\.$", text, re.MULTILINE), name
    assert "_created" not in text


def test_metrics_can_be_off() -> None:
    with metrics.served("", "0.1.0"):
        pass


def test_an_address_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="Cannot answer for `metrics` on"), metrics.served("127.0.0.1:99999", "0"):
        pass


def test_a_port_that_is_taken(address: str) -> None:
    with pytest.raises(ConfigError, match="is another program using the port"), metrics.served(address, "0.1.0"):
        pass


def test_a_port_is_free_again_when_the_node_has_stopped() -> None:
    at = f"127.0.0.1:{free_port()}"
    for _ in range(2):
        with metrics.served(at, "0.1.0"):
            assert "matchbit_build_info" in scraped(at)
