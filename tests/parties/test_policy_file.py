"""The file policy.toml: what it must be."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mpc.dummies import Dummies
from parties import policyfile
from parties.errors import ConfigError
from tests.parties.samples import JARGON, write

HERE = Path("policy.toml")
STANDING: dict[str, Any] = {
    "consent": "standing",
    "partners": ["agency-b", "neutral"],
    "reveal": ["flag"],
    "rules": [["id_number"]],
    "max_records": 1000,
}


def wrong(**entries: Any) -> str:
    with pytest.raises(ConfigError) as error:
        policyfile.from_toml(entries, HERE)
    text = str(error.value)
    assert text.startswith(f"{HERE}: ")
    assert text.endswith(".")
    assert text.isprintable()
    assert not any(word in text for word in JARGON)
    return text


TODAY = datetime(2026, 11, 20, tzinfo=UTC)
BAD_TEXTS: list[Any] = ["x", 1, True, {}, [], [1], [""], ["x", "x"], ["x\ny"], ["x" * 1001], TODAY]
BAD_NUMBERS: list[Any] = [0, -1, True, 1.5, "5", 10**12, float("nan"), [5]]
WRONG: dict[str, list[Any]] = {
    "consent": ["", "Person", True, [], 1],
    "approvers": [*BAD_TEXTS, [["x"]], ["x" * 101]],
    "coordinators": [*BAD_TEXTS, ["Cluster"], ["a b"]],
    "partners": [*BAD_TEXTS, ["Agency A"]],
    "reveal": [*BAD_TEXTS, ["all"], ["flag", "count", "everything"]],
    "min_smallest_cell": [*BAD_NUMBERS, 2, 1001],
    "engine": [*BAD_TEXTS, ["MPyC"], ["mpyc", "spdz"]],
    "min_threshold": [*BAD_NUMBERS, 5],
    "rules": [*BAD_TEXTS, [[]], ["phone"], [["phone", "phone"]], [[f"h{k}" for k in range(17)]], [[["phone"]]]],
    "similar": [*BAD_TEXTS, True, ["0123"], ["0123456789ABCDEF"], ["0123456789abcdeg"], "0123456789abcdef"],
    "max_records": BAD_NUMBERS,
    "min_records": BAD_NUMBERS,
    "max_new_records": BAD_NUMBERS,
    "min_members": [*BAD_NUMBERS, 1],
    "max_retention_days": [*BAD_NUMBERS, 91],
    "max_days_open": [*BAD_NUMBERS, 367],
    "legal_basis": ["yes", 1, 0, []],
    "purposes": BAD_TEXTS,
    "cooldown_days": [*BAD_NUMBERS, 367],
    "verify_tags": ["yes", 1, 0, []],
    "dummies": [1.0, {}, [], {"epsilon": 1.0}, {"epsilon": 1.0, "delta": 1e-6, "rho": 1},
                {"epsilon": "1", "delta": 1e-6},
                *({"epsilon": e, "delta": 1e-6} for e in (0, -1.0, 11, float("nan"), float("inf"), None)),
                *({"epsilon": 1, "delta": d} for d in (0, 0.2, float("nan"), []))],
}  # fmt: skip


@pytest.mark.parametrize("entry", WRONG)
def test_entries_of_the_wrong_kind(entry: str) -> None:
    for value in WRONG[entry]:
        assert f"`{entry}` must be " in wrong(**{entry: value}), value


def test_all_entries_are_tried() -> None:
    assert set(WRONG) == set(policyfile._ENTRIES)


def test_unknown_entries() -> None:
    with pytest.raises(ConfigError, match=r"^policy.toml has entries that Matchbit does not know: max_rows, revael\.$"):
        policyfile.from_toml({"revael": ["flag"], "max_rows": 1}, HERE)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"min_records": 11, "max_records": 10}, "`min_records` is above `max_records`, so that no session"),
        (
            {"max_new_records": 11, "max_records": 10},
            "`max_new_records` is above `max_records`, so that it would limit",
        ),
        ({"min_members": 4, "partners": ["a", "b"]}, "`min_members` is above the number of `partners` and this node"),
        (
            {"engine": ["replicated"], "min_threshold": 2},
            "`min_threshold` is above the replicated engine's, which is 1",
        ),
        ({"rules": [["full_name:sort"]]}, "Rule full_name:sort: `sort` cannot be applied to `full_name`; possible are"),
    ],
)
def test_what_contradicts_itself(entries: dict[str, Any], says: str) -> None:
    assert says in wrong(**entries)


def test_what_just_fits_together() -> None:
    policyfile.from_toml({"min_records": 10, "max_records": 10, "max_new_records": 10}, HERE)
    policyfile.from_toml({"min_members": 3, "partners": ["a", "b"], "legal_basis": False}, HERE)
    policyfile.from_toml({"engine": ["replicated", "mpyc"], "min_threshold": 4}, HERE)
    policyfile.from_toml({"engine": ["replicated"], "min_threshold": 1}, HERE)
    assert policyfile.from_toml({"dummies": {"epsilon": 1, "delta": 1e-6}}, HERE).dummies == Dummies(1.0, 1e-6)


def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    with pytest.raises(ConfigError, match=r"policy.toml is not valid TOML"):
        policyfile.read(write(path, "consent = person"))
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(ConfigError, match=r"Cannot read .*policy.toml: No such file"):
        policyfile.read(path)
    path.unlink()
    with pytest.raises(ConfigError, match=r"Cannot read .*policy.toml: Not a directory"):
        policyfile.read(write(tmp_path / "file", "") / "policy.toml")
    path.mkdir()
    with pytest.raises(ConfigError, match=r"Cannot read .*policy.toml: Is a directory"):
        policyfile.read(path)


@pytest.mark.parametrize("name", ["partners", "reveal", "rules", "max_records"])
def test_standing_consent_is_no_blank_cheque(name: str) -> None:
    policyfile.from_toml(STANDING, HERE)
    rest = {entry: value for entry, value in STANDING.items() if entry != name}
    assert f"standing consent without `{name}` would be a blank cheque; state them" in wrong(**rest)


def test_standing_consent_to_nothing_said() -> None:
    assert "without `partners`, `reveal`, `rules`, `max_records` would" in wrong(consent="standing")


def test_nobody_is_asked_where_consent_is_standing() -> None:
    assert "nobody in `approvers` is asked where `consent` is standing" in wrong(**STANDING, approvers=["Programme"])
