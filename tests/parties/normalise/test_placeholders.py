import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.normalise.characters import text
from parties.normalise.placeholders import is_placeholder
from tests.parties.samples import examples

PLACEHOLDERS = [
    *("", "-", "--", "---", ".", "...", "…", "?", "???", "—", "–", "/", "«»", "*", "_", "'", "\N{NO-BREAK SPACE}"),
    *(
        "n/a",
        "N/A",
        "N.A.",
        "na",
        "NA",
        "none",
        "None",
        "NULL",
        "nil",
        "no",
        "(none)",
        "[n/a]",
        "unknown",
        "Unknown.",
        "X",
    ),
    *("xxx", "XX", "xxxxxxxx", "ххх", "test", "TEST", "not known", "Unknown Unknown", "null null"),
    *("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "unknown  unknown unknown"),
    *("inconnu", "Inconnue", "néant", "NÉANT", "aucun", "non renseigné", "pas de numéro", "S/N"),
    *("desconocido", "ninguno", "no tiene", "sin número", "Sin Datos", "No aplica"),
    *("غير معروف", "لا يوجد", "مجهول", "غير متوفر", "بدون"),
    *("невідомо", "не вказано", "немає", "відсутній", "Н/Д", "неизвестно", "не указано", "нет", "НЕТ ДАННЫХ"),
    *("0", "00", "000000", "000-000", "0000000000", "+000", "00/00/0000", "٠٠٠٠٠", "１１１１１"),
    *("11111", "99999", "777 777 777", "1-1-1-1-1", "9999999999", "12345", "123456789", "1234567890", "12345678901"),
    *("0123456789", "987654321", "123-456-789", "(123) 456-7890", "٥٥٥٥٥", "١٢٣٤٥"),
]
VALUES = [
    *("Nan", "Li Na", "Na Na", "Nil Ratan", "Ni", "Anna", "Nona", "Max", "Xavier", "Tess", "Testa", "Noa", "Nala"),
    *(
        "1",
        "7",
        "12",
        "1234",
        "1111",
        "10000",
        "11112",
        "123457",
        "1234567891",
        "100000",
        "+380671234567",
        "1980-01-01",
    ),
    *("Олена", "Ніна", "محمد", "لا لا", "နန်း", "A", "Á", "c-137", "AB000000", "a11111"),
]


@pytest.mark.parametrize("cell", PLACEHOLDERS)
def test_placeholders(cell: str) -> None:
    assert is_placeholder(text(cell))


@pytest.mark.parametrize("cell", VALUES)
def test_values(cell: str) -> None:
    assert not is_placeholder(text(cell))


@given(st.text(st.characters(), max_size=20))
@examples(300)
def test_any_text_is_judged_alike_with_and_without_space_around(cell: str) -> None:
    assert is_placeholder(text(cell)) == is_placeholder(text(f" {cell}\t"))
