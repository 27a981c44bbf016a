import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from parties.errors import ConfigError
from parties.latest import Latest
from tests.parties.samples import write


class Files:
    """Two files with a number each; counts how often they were read."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b, self.reads = write(folder / "a", "1"), write(folder / "b", "2"), 0
        self.meanwhile: Callable[[], object] = int
        self.latest = Latest(self._read, self.a, self.b)

    def _read(self) -> list[int]:
        self.reads += 1
        try:
            found = [int(path.read_text()) for path in (self.a, self.b)]
        except (OSError, ValueError):
            raise ConfigError("A file is wrong.") from None
        self.meanwhile()
        return found


@pytest.fixture
def numbers(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_files_are_read_once(numbers: Files) -> None:
    first = numbers.latest.get()
    assert first == [1, 2]
    assert numbers.latest.get() is first
    assert numbers.reads == 1


def test_a_change_of_either_file_is_seen(numbers: Files) -> None:
    numbers.latest.get()
    write(numbers.b, "33")
    assert numbers.latest.get() == [1, 33]
    write(numbers.a.with_name("new"), "4").replace(numbers.a)
    assert numbers.latest.get() == [4, 33]
    os.utime(numbers.a, ns=(1, 1))
    numbers.latest.get()
    assert numbers.reads == 4


def test_a_change_while_it_is_read_is_seen_next_time(numbers: Files) -> None:
    numbers.meanwhile = lambda: write(numbers.a, "55")
    assert numbers.latest.get() == [1, 2]
    numbers.meanwhile = int
    assert numbers.latest.get() == [55, 2]


def test_what_was_never_right_is_refused_until_it_is(numbers: Files) -> None:
    numbers.a.unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^A file is wrong\.$"):
            numbers.latest.get()
    write(numbers.a, "1")
    assert numbers.latest.get() == [1, 2]


@pytest.mark.parametrize("fault", [lambda path: path.unlink(), lambda path: write(path, "wrong")])
def test_a_file_that_was_right_and_is_wrong_now(
    numbers: Files, fault: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    good = numbers.latest.get()
    fault(numbers.a)
    for _ in range(3):
        assert numbers.latest.get() is good
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.ERROR, "A file is wrong. Until it is right this node goes on with what it read before.")
    ]
    write(numbers.a, "7")
    assert numbers.latest.get() == [7, 2]


def test_threads_read_once_together(numbers: Files) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: numbers.latest.get(), range(100)))
    assert all(value is found[0] for value in found)
    assert numbers.reads == 1
