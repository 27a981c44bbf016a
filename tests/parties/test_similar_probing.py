"""What made-up records are told under a preset, as docs/known-attacks.md has it: tests of what remains."""

from __future__ import annotations

import numpy as np
import pytest

from mpc import similar as linking
from mpc.linkage import Comparison, Kind, Linkage
from mpc.replicated import Array
from parties.features import Records
from parties.fields import FieldBatch
from parties.normalise import Normal
from parties.similar import PRESET_RECORDS, from_toml

PERSON = {
    "full_name": "olena petrivna kovalenko",
    "birth_date": "1980-01-31",
    "sex": "F",
    "phone": "+380671112233",
    "id_number": "UA:passport:AB123456",
    "admin2": "kharkiv",
}
NOT, POSSIBLE, PROBABLE, CERTAIN = 0, 1, 3, 7


def told(probe: dict[str, str], reveal: str = "grade", records: int = PRESET_RECORDS) -> int:
    """What is told of a made-up record to whoever made it up, when another member has the person."""
    similar = from_toml({}, reveal, records)
    lists = []
    for own, row in ((b"a", probe), (b"b", PERSON)):
        made = Records(bytes(32), similar, own)
        made.take({f: FieldBatch([Normal((value,))], np.zeros(1, np.int32)) for f, value in row.items()}, 1)
        lists.append(made.array())
    return int(linking.plain(similar.linkage, np.concatenate(lists), (1, 1))[0])


def of(*fields: str, **others: str) -> dict[str, str]:
    """A record that has so much of the person's, and something else besides."""
    return {field: PERSON[field] for field in fields} | others


@pytest.mark.parametrize(
    ("probe", "grades"),
    [
        (of("phone"), {POSSIBLE}),
        (of("phone", sex="M"), {NOT}),
        (of("phone", admin2="lviv"), {NOT, POSSIBLE}),
        (of("phone", birth_date="1999-12-30"), {NOT}),
        (of("phone", "birth_date"), {PROBABLE, CERTAIN}),
        (of("phone", "full_name"), {PROBABLE, CERTAIN}),
        (of("birth_date", "sex", "admin2"), {PROBABLE, CERTAIN}),
        (of("id_number"), {CERTAIN}),
        (of("full_name"), {NOT}),
        (of("birth_date"), {NOT}),
    ],
    ids=str,
)
def test_a_record_that_leaves_out_what_is_not_known_asks_about_one_field(
    probe: dict[str, str], grades: set[int]
) -> None:
    assert told(probe) in grades


def test_a_flag_answers_fewer_questions_but_some() -> None:
    assert told(of("phone"), "flag") == told(of("phone", sex="M"), "flag") == 0
    assert told(of("phone", "full_name"), "flag") == 1
    assert told(of("phone", "full_name", sex="M"), "flag") == 0


def test_in_sessions_for_fewer_records_less_is_enough() -> None:
    assert told(of("phone"), records=PRESET_RECORDS // 16) == PROBABLE


@pytest.mark.parametrize("one_more", [False, True])
@pytest.mark.parametrize("keys", [1, 3])
def test_a_match_that_is_lost_tells_that_one_more_record_has_the_key(one_more: bool, keys: int) -> None:
    """Two members know of a match, and fill up the group of its key; a record can give one key in all places."""
    linkage = Linkage(keys, (Comparison(Kind.EXACT, 1, (-1, 1)),), (1,), 9)
    vector = np.array([0b11, 0], np.uint64)

    def record(place: int, *given: int) -> Array:
        """Its other keys are nobody's."""
        own = [(0, key) for key in given] + [(1, keys * place + k) for k in range(keys - len(given))]
        return np.concatenate([np.array(own, np.uint64).ravel(), vector])

    made_up = (9 - 2) // keys
    rows = [record(0, 1), *(record(1 + k, *[1] * keys) for k in range(made_up))]
    rows += [record(20 + k, 1) for k in range(9 - 2 - made_up * keys)]
    counts = (len(rows), 1, 1)
    rows += [record(30, 1), record(31, 1 if one_more else 2)]
    found = linking.plain(linkage, np.stack(rows), counts)
    assert found[0] == found[len(rows) - 2] == (not one_more)
