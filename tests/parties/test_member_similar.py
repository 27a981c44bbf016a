"""What a member contributes under a similar rule: the same again, whenever it is asked to."""

import pytest

from parties import calls
from parties.errors import InputError, SessionRefused
from tests.parties.contributing import Parties
from tests.parties.deciding import logged
from tests.parties.samples import ALIKE, RULES, SIMILAR, write

ROWS = ("A1,067 123 45 67,1980-01-31,Olena Shevchenko", "A2,,1975-05-20,Karim Haddad", ",,1990-02-03,")
OF_RECORD = SIMILAR.linkage.record_words // 2


class Killed(BaseException):
    pass


def killed(*_: object) -> None:
    raise Killed


def test_records_are_contributed_again_as_they_were(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    agreed, member = parties.approved(rules=(RULES[0], ALIKE)), parties.member()
    path = write(parties.folder / "alike.csv", "\n".join(["id_number,phone,birth_date,full_name", *ROWS, ""]))
    with monkeypatch.context() as patched:
        patched.setattr(calls.Coordinator, "report", killed)
        with pytest.raises(Killed):
            member.contribute(agreed.session_id, path)
    before = parties.rows(agreed)["agency-a"]
    keys, _ = parties.member().contribute(agreed.session_id, path)
    rows = parties.rows(agreed)["agency-a"]
    assert rows.shape == (2 + 3 * OF_RECORD, 2)
    assert (rows == before).all()
    assert (rows == keys.shared_rows).all()
    (uploaded,) = [g.shares.uploads(agreed.session_id) for g in parties.nodes(agreed)[:1]]
    assert uploaded["agency-a"].commitment.records == 3
    assert uploaded["agency-a"].commitment.keys == len(rows)
    node = parties.nodes(agreed)[0].store
    assert logged(node, agreed.session_id).count("received") == 1


def test_a_list_without_any_block_stops_before_anything_is_sent(parties: Parties) -> None:
    agreed = parties.approved(rules=(ALIKE,), title="No block")
    path = write(parties.folder / "names.csv", "id_number,full_name\nA1,Olena\n")
    with pytest.raises(InputError, match=r"No block of the rule `similar people` can be made of .*: it needs"):
        parties.member().contribute(agreed.session_id, path)
    assert not parties.nodes(agreed)[0].shares.uploads(agreed.session_id)


def test_a_list_of_phones_only_is_contributed(parties: Parties) -> None:
    agreed = parties.approved(rules=(ALIKE,), title="Phones")
    path = write(parties.folder / "phones.csv", "phone\n067 123 45 67\n067 123 45 68\n")
    keys, findings = parties.member().contribute(agreed.session_id, path)
    assert keys.usable(0).all()
    assert [f.severity.value for f in findings if "has no column" in f.text] == ["note", "note"]


def test_more_rows_without_a_block_than_with_one_stop_for_a_person(parties: Parties) -> None:
    agreed = parties.approved(rules=(ALIKE,), title="Empty")
    rows = ["067 123 45 67,x", *[f",{k}" for k in range(30)]]
    path = write(parties.folder / "empty.csv", "\n".join(["phone,card", *rows, ""]))
    with pytest.raises(SessionRefused, match=r"Rule `similar people` .* cannot be used for 97% of the rows"):
        parties.member().contribute(agreed.session_id, path)
