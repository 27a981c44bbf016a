"""Lines of a given rate for the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from parties.loopback import Loopback
from parties.trial import committee_for


@contextmanager
def bench_federation(folder: Path, members: Sequence[str], rate: str | None) -> Iterator[Loopback]:
    """A started federation."""
    del rate
    with Loopback(folder, members, committee_for(members)) as federation:
        yield federation
