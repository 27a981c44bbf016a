"""What nobody notices: the wrong outcome really happens, so that the documentation cannot be rosier than the code.

A test that fails here is good news, and a line to change in docs/protocol.md, "In the computation".
"""

from __future__ import annotations

import numpy as np
import pytest

from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from tests.mpc.arrays import random_array
from tests.mpc.faults import (
    before_the_last_sboxes,
    decrypted,
    encrypted_through,
    faulty_sboxes,
    last_round_key,
    most_frequent,
    undone_by_decryption,
)
from tests.mpc.lying import FLAGS, LISTS, adding, all_of, flags, instead, opened, other_row, run, spoilt
from tests.world import dealt

P0, P1, P2 = PARTIES
ALONE, HELD_BY_ALL = 1, 3
"""Rows of the first member: in LISTS nobody else, and everybody else, has its key."""


@pytest.mark.parametrize("liar", PARTIES)
def test_one_party_reads_every_key(liar: PartyId) -> None:
    """It adds errors of its choice to a product; tags that should be equal then give the cipher key away."""
    shared = random_array(5, (12, 2))
    lists = [np.concatenate([shared, random_array(10 + member, (4, 2))]) for member in range(3)]
    faults = [(0x00, 0x1D, 0xB4)[row % 3] for row in range(48)]
    world = run(liar, before_the_last_sboxes(faults), lists)
    assert not world.errors
    tags = opened(world)
    keys = decrypted(tags, faults, last_round_key(tags, faults))
    assert {key.tobytes() for key in keys} == {key.tobytes() for keys in lists for key in keys}


@pytest.mark.parametrize("liar", PARTIES)
def test_one_error_in_all_rows_gives_the_cipher_key(liar: PartyId) -> None:
    """Whether lists have anybody in common or not: bytes of tags are not equally frequent any more.

    With the cipher key it can tag any guess. A second encryption with the same error would give the same tags, and so
    notice nothing: `mpc.verify` decrypts.
    """
    lists = [random_array(10 + member, (200, 2)) for member in range(3)]
    error = 0b0110
    world = run(liar, adding("tag/chunk0/round10/scale16", [error] * 600), lists)
    assert not world.errors
    tags, sbox = opened(world), faulty_sboxes()[0, 0, error]
    guessed = encrypted_through(np.concatenate(lists), sbox, most_frequent(tags, sbox))
    assert {tag.tobytes() for tag in guessed} == {tag.tobytes() for tag in tags}


@pytest.mark.parametrize("liar", PARTIES)
def test_another_cipher_for_all_rows_passes_verification(liar: PartyId) -> None:
    """The same constant before the last S-boxes of all rows, and taken away from all; errors in the key schedule."""
    inputs, faults = dealt(LISTS, verified=True), [0x1D] * 15
    both_ways = all_of(before_the_last_sboxes(faults), undone_by_decryption(faults))
    in_the_schedule = instead("tag/schedule/round3/norm16", lambda planes: np.invert(planes, out=planes))
    for lie in (both_ways, in_the_schedule):
        assert flags(run(liar, lie, inputs=inputs)) == FLAGS


@pytest.mark.parametrize("liar", [P0, P1])
def test_verification_takes_rows_as_they_are_shuffled(liar: PartyId) -> None:
    inputs = dealt(LISTS, verified=True)
    found = flags(run(liar, inputs=inputs, changed=lambda own: other_row(own, HELD_BY_ALL)))
    assert found[0][HELD_BY_ALL] != FLAGS[0][HELD_BY_ALL]


@pytest.mark.parametrize("liar", PARTIES)
def test_errors_in_a_product_lose_matches(liar: PartyId) -> None:
    """No two rows have equal tags any more."""
    world = run(liar, before_the_last_sboxes(range(15)))
    assert flags(world) == [[0] * 5] * 3
    assert world.results[liar.next].group_sizes == (0, 15)


@pytest.mark.parametrize("liar", [P0, P1])
def test_other_shares_of_one_row_in_the_shuffle_lose_its_match(liar: PartyId) -> None:
    """A row of the liar's choice: its owner no longer learns that all others have the key."""
    found = flags(run(liar, changed=lambda own: other_row(own, HELD_BY_ALL)))
    assert FLAGS[0][HELD_BY_ALL] == 1
    assert found[0][HELD_BY_ALL] == 0
    assert found[1:] == FLAGS[1:]


def test_the_shuffle_does_not_use_the_shares_of_the_third_party() -> None:
    """P2 can spoil rows too, but of those whose order it knows no more."""
    assert flags(run(P2, changed=lambda own: other_row(own, HELD_BY_ALL))) == FLAGS


@pytest.mark.parametrize("noise", [None, Noise(Dummies(2.0, 1e-2), 1, 3)], ids=["exact", "with dummies"])
@pytest.mark.parametrize("liar", [P0, P1])
def test_two_attempts_tell_whether_one_row_is_matched(liar: PartyId, noise: Noise | None) -> None:
    """The liar follows the protocol, lets the attempt fail, spoils a row in the next one, and compares group sizes.

    Dummies do not hide it: they are the same in both.
    """
    inputs = dealt(LISTS, noise=noise)
    before = run(liar, inputs=inputs).results[liar].group_sizes
    after = [
        run(liar, inputs=inputs, changed=lambda own, row=row: other_row(own, row)).results[liar].group_sizes
        for row in (ALONE, HELD_BY_ALL)
    ]
    assert [sizes != before for sizes in after] == [False, True]


@pytest.mark.parametrize(("liar", "step"), [(P0, "unshuffle/pass3"), (P2, "unshuffle/pass2")])
def test_an_error_on_the_way_back_turns_a_flag(liar: PartyId, step: str) -> None:
    found = np.array(flags(run(liar, instead(step, spoilt))))
    assert np.count_nonzero(found != np.array(FLAGS)) == 1
    assert found.max() == 1


@pytest.mark.parametrize("liar", [P0, P1])
def test_a_part_that_is_given_out_turns_any_flag(liar: PartyId) -> None:
    """Of a row of the liar's choice, and either way: a match that is none, too."""
    world = run(liar)
    world.results[liar].parts[0][[ALONE, HELD_BY_ALL]] ^= np.uint8(1)
    found = flags(world)
    assert (found[0][ALONE], found[0][HELD_BY_ALL]) == (1 - FLAGS[0][ALONE], 1 - FLAGS[0][HELD_BY_ALL]) == (1, 0)


@pytest.mark.parametrize(("liar", "step"), [(P0, "unshuffle/pass3"), (P2, "unshuffle/pass2")])
def test_another_order_on_the_way_back_is_left_to_the_members(liar: PartyId, step: str) -> None:
    """The masks no longer cancel: values that no result can have, which members refuse (`parties.results`)."""
    world = run(liar, instead(step, lambda values: np.ascontiguousarray(values[::-1])))
    assert max(flag for found in flags(world) for flag in found) > 1


@pytest.mark.parametrize("liar", PARTIES)
def test_a_member_that_repeats_a_key_counts_as_two(liar: PartyId) -> None:
    """Nobody else has its first key, and its flags and the group sizes are as if somebody had."""
    lists = [LISTS[0][[1, 1, 2]], LISTS[1]]
    world = run(liar, lists=lists)
    assert flags(world)[0][:2] == [1, 1]
    assert world.results[P0].group_sizes == (0, 6, 1)


@pytest.mark.parametrize("one", PARTIES)
def test_two_parties_read_every_key(one: PartyId) -> None:
    """From what members dealt them alone; nothing needs to be computed."""
    inputs = dealt(LISTS)
    keys = inputs[one].rows().a ^ inputs[one].rows().b ^ inputs[one.next].rows().b
    assert np.array_equal(keys, np.concatenate(LISTS))
