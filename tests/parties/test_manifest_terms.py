"""Terms that no session may have, and signatures on those that it has."""

import re
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.blocks import MOST_SECONDS
from mpc.dummies import MOST_ROWS, Dummies, Noise
from parties.engines import MAX_COMMITTEE
from parties.errors import ConfigError
from parties.manifest import MAX_PERIOD_DAYS, MAX_RECORDS, MAX_SESSIONS, check, sign, verify
from parties.rules import Rule
from parties.statistics import Category, Statistics
from tests.parties.samples import RULES, digests, manifest

DIGESTS = digests("agency-a", "agency-b", "agency-c", "neutral", "hub")
FIVE = ("agency-a", "agency-b", "agency-c", "neutral", "other")
MPYC: dict[str, Any] = {"engine": "mpyc", "committee": FIVE, "threshold": 2}
LONGEST_MINUTES = int(MOST_SECONDS / 60)
NO_THRESHOLDS: tuple[Any, ...] = (0, -1, 2, 3, True, 1.0, "1", None, [])
TABLE = Statistics(10, (Category("sex", ("f", "m")),))
MANY = tuple(f"agency-{k}" for k in range(100))


# Terms


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"members": ("agency-a", "agency-b"), "committee": ("agency-a", "agency-b")}, "neutral node is needed"),
        ({"committee": ("agency-a", "agency-b")}, '`committee` must name exactly three nodes, or `engine` be "mpyc"'),
        ({"committee": FIVE}, "exactly three"),
        ({"engine": "MPyC"}, "`engine` must be replicated or mpyc"),
        ({"engine": None}, "`engine` must be replicated or mpyc"),
        ({"engine": []}, "`engine` must be replicated or mpyc"),
        *(({"threshold": value}, "`threshold` must be 1 with the replicated engine") for value in NO_THRESHOLDS),
        *(
            (MPYC | {"threshold": value}, "`threshold` must be a whole number from 1 to 2, less than half of the 5")
            for value in NO_THRESHOLDS
            if value != 2
        ),
        (MPYC | {"committee": FIVE[:2]}, "`committee` must name 3 to 9 nodes"),
        (MPYC | {"committee": MANY[:10]}, "`committee` must name 3 to 9 nodes"),
        (MPYC | {"dummies": Dummies(1.0, 1e-6)}, "`dummies` and `verify_tags` are of the replicated engine"),
        (MPYC | {"verify_tags": True}, "`dummies` and `verify_tags` are of the replicated engine"),
        ({"reveal": "statistics"}, 'a [session.statistics] table and `reveal = "statistics"` need each other'),
        ({"statistics": TABLE}, 'a [session.statistics] table and `reveal = "statistics"` need each other'),
        ({"reveal": "statistics", "statistics": TABLE}, "there must be exactly one [[rule]]"),
        ({"members": ("agency-a", "agency-b", "hub")}, "coordinator cannot take part"),
        ({"nodes": DIGESTS | digests("stranger")}, "`nodes` must hold"),
        ({"nodes": {}}, "`nodes` must hold"),
        ({"nodes": DIGESTS | {"hub": "abc"}}, "`nodes` must hold"),
        ({"nodes": DIGESTS | {"hub": 7}}, "`nodes` must hold"),
        ({"normalisation": "text-1"}, "normalises by text-1, this node by matchbit-1"),
        ({"country": "Ukraine"}, "`country` must be a country"),
        ({"country": "UK"}, "`country` must be a country's two capital letters"),
        ({"country": None}, "`country` must be a country"),
        ({"rules": (Rule("r", ("phone:sorted",)),)}, "cannot be applied to `phone`"),
        ({"rules": (Rule("r", ("phone",), "village"),)}, "`scope` of rule r must be person or household"),
        ({"created": "yesterday"}, "`created` must be a date and time in UTC"),
        ({"created": "9999-12-31T23:59:59+00:00"}, "`created`"),
        ({"expires": "2026-12-31T00:00:00+02:00"}, "`expires` must be a date and time in UTC"),
        ({"expires": "2026-12-31T00:00:00"}, "`expires` must be a date and time in UTC"),
        ({"reveal": "all"}, "`reveal`"),
        ({"legal_basis": "two\nlines"}, "`legal_basis` must be one line of 1 to 1000 printable characters"),
        ({"legal_basis": "x" * 1001}, "`legal_basis` must be one line"),
        ({"legal_basis": None}, "`legal_basis` must be one line"),
        ({"min_records": 1001}, "`min_records` must be a whole number from 1 to 1000"),
        ({"max_new_records": 1001}, "`max_new_records` must be a whole number from 1 to 1000"),
        ({"min_members": 1}, "`min_members` must be a whole number from 2 to 3"),
        ({"min_members": 4}, "`min_members` must be a whole number from 2 to 3"),
        ({"max_sessions": MAX_SESSIONS + 1}, "`max_sessions` must be a whole number from 1 to 1000"),
        ({"period_days": MAX_PERIOD_DAYS + 1}, "`period_days` must be a whole number from 1 to 366"),
        *(
            ({name: value}, f"`{name}` must be a whole number")
            for name in ("min_records", "max_new_records", "min_members", "max_sessions", "period_days")
            for value in (0, -1, True, 1.0, "1", None)
        ),
        ({"dummies": Dummies(0.001, 1e-6)}, "`dummies` must have an epsilon from 0.01 to 10.0 and a delta from 1e-12"),
        ({"dummies": Dummies(1, 1e-6)}, "`dummies` must have an epsilon from 0.01"),
        ({"dummies": Dummies(1.0, 0.2)}, "and a delta from 1e-12 to 0.1"),
        ({"rules": ()}, "1 to 32"),
        ({"coordinator": []}, "coordinator"),
        ({"coordinator": "Hub"}, "coordinator"),
    ],
)
def test_terms_that_no_session_may_have(wrong: dict[str, Any], says: str) -> None:
    named = {name: wrong[name] for name in ("members", "committee") if name in wrong}
    with pytest.raises(ConfigError, match=re.escape(says)):
        check(replace(manifest(**named), **wrong))


def test_the_limits_themselves_are_allowed() -> None:
    for limits in (
        {"min_records": 1000, "max_new_records": 1, "min_members": 2, "max_sessions": 1, "period_days": 1},
        {"max_records": MAX_RECORDS, "max_sessions": MAX_SESSIONS, "period_days": MAX_PERIOD_DAYS},
        {"dummies": Dummies(10.0, 0.1)},
        {"dummies": Dummies(0.01, 1e-12), "members": MANY[:2], "committee": MANY[:3], "rules": RULES[:1]},
        {"engine": "mpyc"},
        MPYC,
        MPYC | {"threshold": 1},
        MPYC | {"committee": MANY[:MAX_COMMITTEE], "threshold": 4},
        {"reveal": "statistics", "statistics": TABLE, "rules": RULES[:1]},
        {"reveal": "statistics", "statistics": TABLE, "rules": RULES[:1], **MPYC},
    ):
        check(manifest(**limits))


def test_dummies_that_would_add_too_many_rows() -> None:
    """It grows with members, rules and 1/ε; whoever signs is told how much it would be."""
    hidden = {"members": MANY, "committee": MANY[:3], "dummies": Dummies(0.01, 1e-6)}
    rows = Noise(Dummies(0.01, 1e-6), 2, len(MANY)).rows
    assert rows > MOST_ROWS
    with pytest.raises(ConfigError) as error:
        check(manifest(**hidden))
    says = f"`dummies` would add {rows:,} rows, of 20,000,000 that a session may have"
    assert str(error.value) == f"The manifest is wrong: {says}."
    check(manifest(**hidden | {"dummies": Dummies(10.0, 1e-6)}))


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
def test_lists_too_long_for_the_mpyc_engine(reveal: str) -> None:
    """Whoever writes the terms is told how long it would take, what would fit, and which engine has no such limit."""
    with pytest.raises(ConfigError) as error:
        check(manifest(**MPYC, reveal=reveal, max_records=MAX_RECORDS))
    told = re.fullmatch(
        r"3 lists of 50,000,000 records, 2 keys each, would take the mpyc engine about [\d,]+ days, of "
        rf"{LONGEST_MINUTES} minutes that it may: "
        r'set `max_records` to ([\d,]+) at most, or `engine` to "replicated" with a committee of three\.',
        str(error.value),
    )
    assert told
    fits = int(told[1].replace(",", ""))
    check(manifest(**MPYC, reveal=reveal, max_records=fits))
    check(manifest(reveal=reveal, max_records=MAX_RECORDS))
    with pytest.raises(
        ConfigError, match=f"3 lists of {fits + 1:,} records, 2 keys each, .* about {LONGEST_MINUTES + 1} minutes"
    ):
        check(manifest(**MPYC, reveal=reveal, max_records=fits + 1))


def test_too_many_members_for_the_mpyc_engine() -> None:
    crowd = tuple(f"m{k}" for k in range(1000))
    with pytest.raises(ConfigError, match='name fewer members, or `engine` to "replicated"'):
        check(manifest(**MPYC, members=crowd, reveal="count", max_records=1000))


# Signatures

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ID = manifest().session_id


def test_a_good_signature() -> None:
    signature = sign(KEY, ID, "agency-a")
    assert len(signature) == 64
    verify(KEY.public_key(), ID, "agency-a", signature)
    KEY.public_key().verify(signature, b"matchbit.v1 approval\0" + ID + b"agency-a")


def test_signatures_of_others_on_others_or_with_a_flipped_bit() -> None:
    signature = sign(KEY, ID, "agency-a")
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    wrong = [
        (KEY, ID, "agency-b", signature),
        (KEY, manifest(title="Other").session_id, "agency-a", signature),
        (other, ID, "agency-a", signature),
        (KEY, ID, "agency-a", KEY.sign(ID)),
        (KEY, ID, "agency-a", b""),
        (KEY, ID, "agency-a", signature[:-1]),
        (KEY, ID, "agency-a", signature + b"\0"),
    ]
    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        wrong.append((KEY, ID, "agency-a", bytes(flipped)))
    for key, session_id, name, given_signature in wrong:
        with pytest.raises(ConfigError, match=f"in the name of {name} is not signed by {name}'s pinned key"):
            verify(key.public_key(), session_id, name, given_signature)
