"""A small rule on similar records, and lists of invented people for it, many of whom are alike."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from parties.rules import Rule
from parties.similar import Block, Compared, Similar

SIMILAR = Similar(
    blocks=(
        Block(("phone",), 1),
        Block(("birth_date:unordered", "full_name:phonetic:each-word"), 3),
        Block(("birth_date:year", "full_name:phonetic:word-pairs"), 2),
    ),
    comparisons=(
        Compared("full_name", "names", 3, (-40, -20, 10, 0, 40, 30, 60)),
        Compared("birth_date", "date", 1, (-30, 5, 5, 30, 20, 40)),
        Compared("phone", "number", 2, (-8, 20, 40)),
        Compared("admin2", "text", 1, (-8, 4, 8)),
        Compared("sex", "exact", 1, (-24, 4)),
    ),
    thresholds=(60,),
    largest_group=3,
)
ID, ALIKE = Rule("id", ("id_number",)), Rule("similar people", SIMILAR.fields, similar=SIMILAR)
GRADED = replace(ALIKE, similar=replace(SIMILAR, thresholds=(30, 60, 90)))
HEADINGS = ("id_number", "full_name", "birth_date", "phone", "admin2", "sex")
NAMES = (
    "Олена Петрівна Шевченко", "Olena Shevchenko", "محمد عبد الله", "Mohammed Abdullah", "Đặng Thị Ngọc Hân",
    "María José Nuñez", "ሰላም ተስፋዬ", "Ann", "J. O'Brien-Smith", "ထွေး စန္ဒာ",
)  # fmt: skip


def invented(random: Random, rows: int) -> list[list[str]]:
    """Rows of so few different values that many are alike, some are shared by many, and some are missing."""
    made = []
    for _ in range(rows):
        born = f"{random.choice((1980, 1981, 2001))}-{random.choice((1, 2, 3)):02}-{random.choice((1, 2, 14)):02}"
        words = random.choice(NAMES).split()
        name = " ".join(random.sample(words, 1) if random.random() < 0.1 else words)
        cells = [
            f"AB{random.randrange(3 * rows + 9):06}",
            name,
            born,
            f"+38067{random.randrange(1_000_000, 1_000_000 + 2 * rows + 5)}",
            random.choice(("Kharkiv", "Харків", "Lviv")),
            random.choice("FM"),
        ]
        made.append([cell if random.random() > 0.12 else "" for cell in cells])
    made[0][:4] = ["AB000001", NAMES[0], "1980-01-02", "+380671234567"]  # no list is without a key
    return made


def write_list(path: Path, rows: Sequence[Sequence[str]], headings: Sequence[str] = HEADINGS) -> Path:
    """A list of these rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([headings, *rows])
    return path
