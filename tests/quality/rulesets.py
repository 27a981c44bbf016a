"""The rules that are measured, alone and in sets, for the made-up lists and for FEBRL."""

from __future__ import annotations

from collections.abc import Mapping

from mpc.linkage import Kind
from parties.rules import Rule
from parties.similar import Block, Compared, Similar

Sets = Mapping[str, tuple[Rule, ...]]
PLAIN, CAREFUL, USUAL, WIDE = "documents and phones", "careful", "usual", "wide"
NO_DOCUMENTS = "without documents"
_SOUND = "full_name:phonetic:sorted"

_ID = Rule("id", ("id_number",))
_PHONE_BORN = Rule("phone and birth date", ("phone", "birth_date"))
_PHONE_YEAR = Rule("phone, sex and birth year", ("phone", "sex", "birth_date:year"))
_PHONE_SOUND = Rule("phone and sound of name", ("phone", _SOUND))
_PHONE_FIRST = Rule("phone, birth year and one name", ("phone", "birth_date:year", f"{_SOUND}:first-word"))
_NAME_BORN = Rule("name and birth date", ("full_name:sorted", "birth_date"))
_SOUND_BORN = Rule("sound of name and birth date", (_SOUND, "birth_date"))
_SOUND_YEAR = Rule("sound of name, sex and birth year", (_SOUND, "sex", "birth_date:year"))
_ENDS_BORN = Rule("two names, sex and birth date", (f"{_SOUND}:first-word", f"{_SOUND}:last-word", "sex", "birth_date"))
_FIRST_PLACE, _LAST_PLACE, _FIRST = (
    Rule("one name, sex, birth date and place", (f"{_SOUND}:first-word", "sex", "birth_date", "admin2")),
    Rule("another name, sex, birth date and place", (f"{_SOUND}:last-word", "sex", "birth_date", "admin2")),
    Rule("one name, sex and birth date", (f"{_SOUND}:first-word", "sex", "birth_date")),
)

PEOPLE = (
    _ID, _PHONE_BORN, _PHONE_YEAR, _PHONE_SOUND, _PHONE_FIRST, _NAME_BORN, _SOUND_BORN, _SOUND_YEAR, _ENDS_BORN,
    _FIRST_PLACE, _LAST_PLACE, _FIRST,
)  # fmt: skip
"""One by one."""
PEOPLE_SETS: Sets = {
    PLAIN: (_ID, _PHONE_BORN),
    CAREFUL: (_ID, _PHONE_SOUND, _SOUND_BORN),
    USUAL: (_ID, _PHONE_YEAR, _SOUND_BORN),
    WIDE: (_ID, _PHONE_YEAR, _PHONE_SOUND, _SOUND_BORN, _ENDS_BORN, _FIRST_PLACE, _LAST_PLACE),
    NO_DOCUMENTS: (_PHONE_YEAR, _PHONE_SOUND, _SOUND_BORN, _ENDS_BORN),
}

_FAMILY_LETTER = Rule(
    "family name, first letter, birth date", ("family_name:phonetic", "given_name:first1", "birth_date")
)
_GIVEN_LETTER = Rule(
    "given name, first letter, birth date", ("given_name:phonetic", "family_name:first1", "birth_date")
)
_FAMILY_BORN = Rule("family name and birth date", ("family_name:phonetic", "birth_date"))
_GIVEN_BORN = Rule("given name and birth date", ("given_name:phonetic", "birth_date"))
_SOUND_POST = Rule("sound of name and postcode", (_SOUND, "postcode"))
_BORN_POST = Rule("birth date and postcode", ("birth_date", "postcode"))

FEBRL = (
    _ID, _NAME_BORN, _SOUND_BORN, _FAMILY_LETTER, _GIVEN_LETTER, _FAMILY_BORN, _GIVEN_BORN, _SOUND_POST, _BORN_POST,
)  # fmt: skip
"""One by one."""
FEBRL_SETS: Sets = {
    PLAIN: (_ID,),
    CAREFUL: (_ID, _NAME_BORN),
    USUAL: (_ID, _SOUND_BORN, _FAMILY_LETTER, _GIVEN_LETTER),
    WIDE: (_ID, _FAMILY_BORN, _GIVEN_BORN, _SOUND_POST),
    NO_DOCUMENTS: (_FAMILY_BORN, _GIVEN_BORN, _SOUND_POST, _BORN_POST),
}

_ALIKE = (
    ("given_name", Kind.TEXT, 1), ("family_name", Kind.TEXT, 1), ("full_name", Kind.NAMES, 4),
    ("birth_date", Kind.DATE, 1), ("id_number", Kind.NUMBER, 1), ("address_1", Kind.TEXT, 1),
    ("suburb", Kind.TEXT, 1), ("postcode", Kind.NUMBER, 1),
)  # fmt: skip
_BEGUN = {
    Kind.TEXT: (-12, 0, 12),
    Kind.NAMES: (-20, -8, 0, 0, 16, 8, 24),
    Kind.DATE: (-20, -8, 8, 16, 16, 32),
    Kind.NUMBER: (-20, 8, 24),
}
"""What a person would say that levels weigh, before anything is learnt."""
FEBRL_SIMILAR = Similar(
    (
        Block(("id_number:number",), 1),
        Block(("birth_date:unordered",), 1),
        Block(("full_name:word-pairs",), 1),
        Block(("address_1",), 1),
        Block(("postcode", "full_name:each-word"), 2),
        Block(("birth_date:year", "full_name:each-word"), 2),
    ),
    tuple(Compared(field, kind.value, values, _BEGUN[kind]) for field, kind, values in _ALIKE),
    (1,),
    50,
)
"""Its weights and threshold are where learning begins."""


def to_toml(rules: tuple[Rule, ...]) -> str:
    """Rules as a manifest or a rules file has them."""
    tables = []
    for rule in rules:
        fields = ", ".join(f'"{field}"' for field in rule.fields)
        tables.append(f'[[rule]]\nname = "{rule.name}"\nfields = [{fields}]\n')
    return "\n".join(tables)
