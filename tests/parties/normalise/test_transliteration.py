import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.normalise import text
from parties.normalise.transliteration import latin
from tests.parties.samples import examples

UKRAINIAN = """
    Алушта Alushta, Борщагівка Borshchahivka, Вишгород Vyshhorod, Гадяч Hadiach, Згорани Zghorany, Ґалаґан Galagan
    Донецьк Donetsk, Рівне Rivne, Єнакієве Yenakiieve, Наєнко Naienko, Житомир Zhytomyr, Закарпаття Zakarpattia
    Медвин Medvyn, Іршава Irshava, Їжакевич Yizhakevych, Кадиївка Kadyivka, Йосипівка Yosypivka, Стрий Stryi
    Київ Kyiv, Лебедин Lebedyn, Миколаїв Mykolaiv, Ніжин Nizhyn, Одеса Odesa, Полтава Poltava, Ромни Romny, Суми Sumy
    Тетерів Teteriv, Ужгород Uzhhorod, Фастів Fastiv, Харків Kharkiv, Біла Bila, Церква Tserkva, Чернівці Chernivtsi
    Шостка Shostka, Гоща Hoshcha, Русь Rus, Юрій Yurii, Корюківка Koriukivka, Яготин Yahotyn, Костянтин Kostiantyn
"""
RUSSIAN = "Щукин shchukin, Хрущёв khrushchev, Эльвира elvira, Объедков obieedkov, Цой tsoi, Юлия iuliia, Яков iakov"


@pytest.mark.parametrize("pair", UKRAINIAN.strip().replace("\n", ",").split(","))
def test_the_examples_of_the_ukrainian_standard(pair: str) -> None:
    own, spelt = pair.split()
    assert latin(text(own), "UA") == spelt.lower()


@pytest.mark.parametrize("pair", RUSSIAN.split(","))
def test_russian_as_in_passports(pair: str) -> None:
    own, spelt = pair.split()
    assert latin(text(own), "RU") == spelt


def test_every_letter_of_a_script_with_a_table() -> None:
    letters = "абвгґдеєёжзиіїйклмнопрстуфхцчшщъыьэюяўђјљњћџѓѕќәғқңөұүһҗӣӯҳҷ" + "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"
    letters += "پچژگکیہھےٹڈڑںټډړږښڼځڅېۍڕڵۆێەڤڭۋ" + "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"
    for letter in letters:
        assert latin(letter, "RU").isascii(), letter
        assert latin(letter, "AF").isascii(), letter


def test_ethiopic_rows_and_orders() -> None:
    assert [latin(syllable, "") for syllable in "ለሉሊላሌልሎሏ"] == ["le", "lu", "li", "la", "le", "l", "lo", "lwa"]
    assert latin("ሰላም መሰረት ሙሉጌታ ዳዊት ጸሐይ ኃይሉ ገብረ", "") == "selam meseret mulugeta dawit tsehay haylu gebre"


def test_confused_arabic_letters_are_one() -> None:
    for confused in ("أإآٱا", "ىيی", "كک", "ةۃ", "هہھ"):
        assert len({latin(f"بر{letter}ب", "SY") for letter in confused}) == 1
    assert latin("فاطمه", "SY") == latin("فاطمة", "SY") == latin("فاطِمَةُ", "SY") == latin("فاطـمة", "SY") == "fatma"
    assert latin("شاه", "SY") == "shah"


@pytest.mark.parametrize(
    ("mixed", "meant"),
    [("oлeнa", "олена"), ("cергiй", "сергій"), ("оlena", "olena"), ("саrmen", "carmen"), ("hатaлія", "наталія")],
)
def test_letters_of_the_other_keyboard(mixed: str, meant: str) -> None:
    assert mixed != meant
    assert latin(mixed, "UA") == latin(meant, "UA")


def test_diacritics_and_special_letters() -> None:
    assert latin("åéîõü ñçşğ łødđ æœß ɗɓƙƴ ŋħ ı ệ", "") == "aeiou ncsg lodd aeoeß dbky nh i e"


@given(st.text(st.characters(), max_size=30), st.sampled_from(["", "UA", "RU", "AF"]))
@examples(500)
def test_any_text(value: str, country: str) -> None:
    once = latin(text(value), country)
    assert isinstance(once, str)
    assert latin("abc " + text(value), country).startswith("abc ")
