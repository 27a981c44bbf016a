"""Beneficiary lists that look real, with the truth known: what `matchbit demo` runs on.

The same person is written differently in every list. In the fields that a rule compares, the differences are only
those that stripping, NFKC and case-folding undo; names and settlements vary freely. The truth is computed from the
clean attributes of people and from which cells a row has, never by the code under demonstration.
"""

import csv
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from operator import add, attrgetter
from pathlib import Path
from string import ascii_uppercase
from typing import Literal, NamedTuple, TypeVar

HEADINGS = ("id_number", "full_name", "sex", "birth_date", "phone", "settlement", "household_size", "registered_on")
RULES = (("id", ("id_number",)), ("phone and birth date", ("phone", "birth_date")))

_NO_ID, _NO_PHONE, _NO_BIRTH_DATE = 0.06, 0.08, 0.02
_REGISTERED_TWICE = 0.03
_FIRST_OF_JANUARY = 0.17
_SAME_FIRST_OF_JANUARY = 0.3
_LAST_BIRTH_YEAR = 2022
_DAYS_OF_A_YEAR = tuple((date(2023, 1, 1) + timedelta(days)).strftime("%m-%d") for days in range(365))
_REGISTRATION_DAYS = tuple((date(2023, 1, 1) + timedelta(days)).isoformat() for days in range(1000))
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_SPACES_AROUND = (("", ""), ("", ""), (" ", ""), ("", " "), ("", "\t"), ("\N{NO-BREAK SPACE}", ""), (" ", "  "))
_SEX_WORDS = (("F", "M"), ("female", "male"), ("Female", "Male"), ("Ж", "Ч"), ("أنثى", "ذكر"), ("Femme", "Homme"))

Sex = Literal["F", "M"]
_SEXES: tuple[Sex, Sex] = ("F", "M")
_T = TypeVar("_T")
_Word = tuple[str, str]  # a token of a name, or a place: in its own script, in plain Latin letters


class _Tradition(NamedTuple):
    """How one population names people and places; in the patterns of numbers `#` is a digit and `@` a letter."""

    given: dict[Sex, tuple[_Word, ...]]
    middle: dict[Sex, tuple[_Word, ...]]
    family: dict[Sex, tuple[_Word, ...]]
    settlements: tuple[_Word, ...]
    phones: tuple[str, ...]
    ids: tuple[str, ...]


class _Person(NamedTuple):
    """Clean attributes; those that rules compare are named as in `HEADINGS`."""

    id_number: str
    birth_date: str
    phone: str
    name: tuple[_Word, _Word, _Word]
    sex: Sex
    settlement: _Word
    household_size: int


class _Habits(NamedTuple):
    """How one agency fills in its list."""

    latin_share: float
    family_first_share: float
    sex_words: tuple[str, str]


@dataclass(frozen=True, slots=True)
class GeneratedList:
    """One member's list and what a correct match must say about it.

    Attributes:
        rows: Cells as in `HEADINGS`; a missing value is the empty string.
        expected: Row index to the names of the other members that hold that person under `RULES`; rows without a
            match are absent.
    """

    rows: list[list[str]]
    expected: dict[int, frozenset[str]]


def generate(members: Sequence[str], rows: int, overlap: float, seed: int) -> dict[str, GeneratedList]:
    """Return for each member a list of exactly `rows` rows, the same for the same arguments.

    Args:
        members: Distinct names of the members.
        rows: Rows in each list.
        overlap: About which part of each list, 0 to 1, are people whom at least one other member holds too.
        seed: Decides everything random.

    Raises:
        ValueError: The names repeat, or `rows` or `overlap` is out of range.
    """
    if len(set(members)) != len(members):
        raise ValueError("members must have distinct names")
    if rows < 0 or not 0 <= overlap <= 1:
        raise ValueError("rows must be 0 or more and overlap between 0 and 1")
    rng = random.Random(seed)  # noqa: S311 - invented people, to be replayed from the seed
    holdings = _holdings(len(members), rows, overlap, rng)
    written: list[list[list[str]]] = []
    for people in holdings:
        habits = _Habits(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.6), _pick(_SEX_WORDS, rng))
        written.append([_row(person, habits, rng) for person in people])
    expected = _expected(members, holdings, written)
    lists = map(GeneratedList, written, expected)
    return dict(zip(members, lists, strict=True))


def write_csv(path: Path, generated: GeneratedList) -> None:
    """Write headings and rows as UTF-8 CSV that only the owner can read."""
    with open(path, "w", encoding="utf-8", newline="", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        # The mode given on opening does not apply to a file that was there before.
        path.chmod(0o600)
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        writer.writerows(generated.rows)


# Who is held by whom


def _holdings(members: int, rows: int, overlap: float, rng: random.Random) -> list[list[_Person]]:
    """Return the people of each list, `rows` of them, shuffled, some of them twice."""
    twice = round(rows * _REGISTERED_TWICE)
    distinct = rows - twice
    shared = round(distinct * overlap) if members > 1 else 0
    groups = list(_shared_groups(members, shared, rng))
    taken_ids: set[str] = set()
    held: list[list[_Person]] = [[] for _ in range(members)]
    for group, person in zip(groups, _population(len(groups), taken_ids, rng), strict=True):
        for member in group:
            held[member].append(person)
    for people in held:
        people.extend(_population(distinct - shared, taken_ids, rng))
        people.extend([_pick(people, rng) for _ in range(twice)])
        rng.shuffle(people)
    return held


def _shared_groups(members: int, shared: int, rng: random.Random) -> Iterator[list[int]]:
    """Yield for each shared person the members that hold it, so that every member gets exactly `shared` of them."""
    while shared > 0:
        circle = rng.sample(range(members), members)
        size = _pick((2, 2, 3, members), rng)
        if size >= members or size > shared:
            yield circle
            shared -= 1
            continue
        # Windows of this size around the circle give every member the same number of people.
        for start in range(members):
            yield [circle[(start + step) % members] for step in range(size)]
        shared -= size


def _expected(
    members: Sequence[str], holdings: list[list[_Person]], written: list[list[list[str]]]
) -> list[dict[int, frozenset[str]]]:
    """Return for each member, by row index, which others hold a row that agrees with it under a rule."""
    found: list[dict[int, frozenset[str]]] = [{} for _ in members]
    for _, fields in RULES:
        keys = [_clean_keys(people, rows, fields) for people, rows in zip(holdings, written, strict=True)]
        held = dict(zip(members, (set(of_list.values()) for of_list in keys), strict=True))
        in_lists = Counter(chain.from_iterable(held.values()))
        for name, of_list, matches in zip(members, keys, found, strict=True):
            for index, key in of_list.items():
                if in_lists[key] > 1:
                    holders = {other for other in members if other != name and key in held[other]}
                    matches[index] = matches.get(index, frozenset()) | holders
    return found


def _clean_keys(people: list[_Person], rows: list[list[str]], fields: Sequence[str]) -> dict[int, object]:
    """Return by row index the clean values of every row that has all of `fields`."""
    columns = [HEADINGS.index(field) for field in fields]
    clean = attrgetter(*fields)
    return {
        index: clean(person)
        for index, (person, row) in enumerate(zip(people, rows, strict=True))
        if "" not in [row[column] for column in columns]
    }


# People


def _population(count: int, taken_ids: set[str], rng: random.Random) -> list[_Person]:
    """Return `count` people, those of one household next to each other."""
    people: list[_Person] = []
    while len(people) < count:
        people.extend(_household(taken_ids, rng))
    return people[:count]


def _household(taken_ids: set[str], rng: random.Random) -> list[_Person]:
    """Return the one to three registered people of a household: one phone, family name and settlement."""
    tradition = _pick(_TRADITIONS, rng)
    phone = _fill(_pick(tradition.phones, rng), rng)
    settlement = _pick(tradition.settlements, rng)
    family = rng.randrange(len(tradition.family["F"]))
    registered = _pick((1, 1, 1, 1, 2, 2, 3), rng)
    size = registered + int(rng.triangular(0, 9, 2))
    people: list[_Person] = []
    for _ in range(registered):
        sex = _SEXES[rng.random() < 0.45]
        born = _birth_date(rng)
        # Where birth dates are estimated, relatives often get the same one: a match by coincidence, as in real lists.
        if people and people[0].birth_date.endswith("-01-01") and rng.random() < _SAME_FIRST_OF_JANUARY:
            born = people[0].birth_date
        name = (_pick(tradition.given[sex], rng), _pick(tradition.middle[sex], rng), tradition.family[sex][family])
        people.append(_Person(_new_id(tradition, taken_ids, rng), born, phone, name, sex, settlement, size))
    return people


def _birth_date(rng: random.Random) -> str:
    """Return an ISO date, heaped on 1 January, and there on years divisible by five."""
    year = _LAST_BIRTH_YEAR - int(rng.triangular(0, 85, 25))
    if rng.random() < _FIRST_OF_JANUARY:
        return f"{year - year % 5 if rng.random() < 0.5 else year}-01-01"
    return f"{year}-{_pick(_DAYS_OF_A_YEAR, rng)}"


def _new_id(tradition: _Tradition, taken_ids: set[str], rng: random.Random) -> str:
    while (number := _fill(_pick(tradition.ids, rng), rng)) in taken_ids:
        pass
    taken_ids.add(number)
    return number


def _fill(pattern: str, rng: random.Random) -> str:
    """Return `pattern` with a random digit for each `#` and a random capital for each `@`."""
    while "@" in pattern:
        pattern = pattern.replace("@", _pick(ascii_uppercase, rng), 1)
    first, *rest = pattern.split("#")
    # The last digits of a random number this large are as good as uniform.
    return first + "".join(map(add, f"{rng.getrandbits(64):020d}"[: -len(rest) - 1 : -1], rest))


def _pick(options: Sequence[_T], rng: random.Random) -> _T:
    """Do as `rng.choice`, in a third of the time."""
    return options[int(rng.random() * len(options))]


# How a person is written down


def _row(person: _Person, habits: _Habits, rng: random.Random) -> list[str]:
    """Return the cells, as in `HEADINGS`, of one registration of a person."""
    return [
        _compared(person.id_number, _NO_ID, rng),
        _full_name(person.name, habits, rng),
        habits.sex_words[_SEXES.index(person.sex)],
        _compared(person.birth_date, _NO_BIRTH_DATE, rng),
        _compared(person.phone, _NO_PHONE, rng),
        _misspelt(person.settlement[rng.random() < habits.latin_share], rng),
        str(max(1, person.household_size + _pick((0, 0, 0, 0, 0, -1, 1), rng))),
        _pick(_REGISTRATION_DAYS, rng),
    ]


def _compared(value: str, missing: float, rng: random.Random) -> str:
    """Return `value` as strip, NFKC and case-folding can restore it, or nothing with probability `missing`."""
    draw = rng.random()
    if draw < missing:
        return ""
    if draw < 0.7:
        return value
    if draw < 0.8:
        value = value.lower()
    elif draw < 0.83:
        value = value.translate(_FULL_WIDTH)
    elif draw < 0.86:
        value = value.replace(" ", "\N{NO-BREAK SPACE}")
    before, after = _pick(_SPACES_AROUND, rng)
    return before + value + after


def _full_name(name: tuple[_Word, _Word, _Word], habits: _Habits, rng: random.Random) -> str:
    """Return the name in some script, order and case, now and then shortened or misspelt."""
    latin = rng.random() < habits.latin_share
    given, middle, family = (word[latin] for word in name)
    called = given if rng.random() < 0.3 else f"{given} {middle}"
    written = f"{called} {family}"
    if rng.random() < habits.family_first_share:
        written = _pick((f"{family} {called}", f"{family.upper()} {called}", f"{family}, {called}"), rng)
    if rng.random() < 0.08:
        written = written.upper()
    return _misspelt(written, rng)


def _misspelt(text: str, rng: random.Random) -> str:
    """Return `text`, one time in twelve with a slip of the keyboard inside it."""
    if rng.random() > 1 / 12 or len(text) < 4:
        return text
    at = rng.randrange(1, len(text) - 2)
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return _pick((swapped, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]), rng)


# The traditions


def _words(text: str, sex: Sex = "M") -> tuple[_Word, ...]:
    """Read words in the notation of `_PARAGRAPHS`, in their forms for `sex`."""
    words = []
    for item in text.split():
        own, _, latin = item.partition("=")
        own, latin = (form.split("/")[0 if sex == "M" else -1].replace("_", " ") for form in (own, latin or own))
        bare = (letter for letter in unicodedata.normalize("NFD", latin) if not unicodedata.combining(letter))
        words.append((own, "".join(bare)))
    return tuple(words)


def _tradition(text: str) -> _Tradition:
    """Read one of `_PARAGRAPHS`; where it has no middle or family names, the fathers' names serve."""
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    middle, family = lines.get("middle", lines["men"]), lines.get("family", lines["men"])
    return _Tradition(
        {"F": _words(lines["women"]), "M": _words(lines["men"])},
        {sex: _words(middle, sex) for sex in _SEXES},
        {sex: _words(family, sex) for sex in _SEXES},
        _words(lines["places"]),
        tuple(pattern.replace("_", " ") for pattern in lines["phones"].split()),
        tuple(pattern.replace("_", " ") for pattern in lines["ids"].split()),
    )


# A word is `own=Latin`, or `own` where accents are all the difference; forms for `man/woman`; `_` stands for a space.
_PARAGRAPHS = """\
women Олена=Olena Наталія=Nataliia Оксана=Oksana Тетяна=Tetiana Ірина=Iryna Ганна=Hanna Юлія=Yuliia Мар'яна=Mariana
men Олександр=Oleksandr Андрій=Andrii Сергій=Serhii Микола=Mykola Іван=Ivan Василь=Vasyl Юрій=Yurii Дмитро=Dmytro
middle Іванович/Іванівна=Ivanovych/Ivanivna Петрович/Петрівна=Petrovych/Petrivna Юрійович/Юріївна=Yuriiovych/Yuriivna
family Шевченко=Shevchenko Мельник=Melnyk Ковальський/Ковальська=Kovalskyi/Kovalska Бойко=Boiko Дем'яненко=Demianenko
places Харків=Kharkiv Ізюм=Izium Балаклія=Balakliia Куп'янськ=Kupiansk Чугуїв=Chuhuiv Нова_Водолага=Nova_Vodolaha
phones +380_50_###_##_## +380_67_###_##_## 066-###-##-## (099)_###_##_## 093####### +38063#######
ids ########## ########## КВ###### МЕ_###### F@###### KHA-##C#####

women فاطمة=Fatima مريم=Mariam زينب=Zainab عائشة=Aisha نور=Nour سعاد=Suad أمل=Amal هدى=Huda رنا=Rana سلمى=Salma
men محمد=Mohammad أحمد=Ahmad علي=Ali حسين=Hussein خالد=Khaled عبد_الرحمن=Abdul_Rahman يوسف=Youssef إبراهيم=Ibrahim
family الحسن=Al-Hassan الخطيب=Al-Khatib العلي=Al-Ali حمدان=Hamdan النجار=Al-Najjar درويش=Darwish العبد_الله=Al-Abdullah
places حلب=Aleppo إدلب=Idlib درعا=Daraa الرقة=Raqqa الحسكة=Al-Hasakah دير_الزور=Deir_ez-Zor حمص=Homs الموصل=Mosul
phones +963_93#_###_### 093#_###_### +964_770_###_#### 0770-###-#### +961_71_###_### 009639########
ids 0########## N######## @####### AMM-##C#####

women አበባ=Abeba ሰላም=Selam ትዕግስት=Tigist ሃና=Hanna አልማዝ=Almaz ገነት=Genet መሰረት=Meseret ብርቱካን=Birtukan
men አበበ=Abebe ተስፋዬ=Tesfaye ዳዊት=Dawit ሙሉጌታ=Mulugeta ግርማ=Girma ኃይሉ=Hailu በቀለ=Bekele ገብረ_መድህን=Gebre_Medhin
places መቀሌ=Mekelle አዲግራት=Adigrat ጎንደር=Gondar ሽሬ=Shire ደሴ=Dessie ላሊበላ=Lalibela ባሕር_ዳር=Bahir_Dar
phones +251_91#_###### 091#_##_##_## 09######## +251-92#-######
ids EP####### ############ ETH-##C#####

women Hauwa Aisha Fatima Maryam Zainab Hadiza Amina Halima Rakiya Saratu Ladi Ƙarima=Karima
men Musa Ibrahim Abubakar Usman Sani Garba Ɗanjuma=Danjuma Bello Yakubu Aliyu Haruna Ado Ƙasimu=Kasimu
family Bukar Kachalla Goni Modu Bulama Zannah Kawu Lawan Maina Ɗan_Azumi=Dan_Azumi Umar Shettima Mai_Ɗoki=Mai_Doki
places Maiduguri Bama Gwoza Dikwa Monguno Damboa Konduga Ngala
phones +234_803_###_#### 0806_###_#### 0703-###-#### 0813#######
ids ########### A######## NGA-##C#####

women María Luz Ana Carmen Yolanda Rosa Inés Sofía Guadalupe Ángela Belén Verónica
men José Juan Andrés Jesús Miguel Luis Pedro Raúl Óscar Héctor Iván Ramón Julián
middle Luis/José Carlos/Fernanda Ángel/Lucía Antonio/Marina Alberto/Beatriz Enrique/del_Carmen Adrián/de_los_Ángeles
family Pérez_Gómez García_Rodríguez de_la_Cruz_Mendoza Muñoz_Díaz Ramírez López_Núñez Martínez_Ávila Suárez-Ordóñez
places Cúcuta Maicao Riohacha Arauca Ipiales Medellín Nariño San_José_del_Guaviare Tumaco
phones +57_31#_###_#### 320-###-#### (300)_###_##_## +58_414-####### 0424#######
ids 1######### V-######## A@###### COL-##C#####

women Marie-Claire Espérance Béatrice Josée Solange Thérèse Anne-Marie Élodie Chantal Françoise Noëlla
men Jean-Baptiste Jean-Pierre François Désiré Dieudonné Célestin Étienne Gédéon Innocent Moïse Joël
middle Mukendi Ilunga Kasongo Bahati Tshibangu Mutombo Furaha Baraka Muhindo/Kavira
family Kabongo Mbuyi Kalala Ngoy Lukusa Mwamba Kambale/Masika Paluku/Kanyere Katembo N'Landu Nzuzi Mulumba
places Goma Bukavu Béni Butembo Kalemie Bunia Uvira Rutshuru Saké
phones +243_81#_###_### 0970_###_### +243-99#-###-### 085#######
ids OP####### OB####### ########### COD-##C#####

women သီတာ=Thida မေ=May နီလာ=Nilar စန္ဒာ=Sandar ဆွေ=Swe နွယ်=Nwe ဒေါ်_ခင်=Daw_Khin မ_ဖြူ=Ma_Phyu
men အောင်=Aung မင်း=Min ကျော်=Kyaw ဇော်=Zaw ထွန်း=Tun နိုင်=Naing ဦး_ဘ=U_Ba ကို_ကို=Ko_Ko
middle ခင်=Khin မျိုး=Myo သန်း=Than လှ=Hla မြင့်=Myint တင်=Tin
family ဝင်း=Win ဦး=Oo လင်း=Lin စိုး=Soe ထွေး=Htwe အေး=Aye မောင်=Maung သိန်း=Thein
places စစ်တွေ=Sittwe မောင်တော=Maungdaw မြစ်ကြီးနား=Myitkyina လားရှိုး=Lashio ဘားအံ=Hpa-An လွိုင်ကော်=Loikaw
phones +95_9_###_###_### 09-######### 09_4##_###_###
ids 11/MATANA(N)###### 12/LAMANA(N)###### 9/MAKHANA(N)###### M@###### MMR-##C#####

women زهرا=Zahra شکریه=Shukria پروین=Parwin فرشته=Fereshta مرضیه=Marzia ثریا=Suraya گل_بانو=Gul_Bano نرگس=Nargis
men غلام_حسین=Ghulam_Hussain رحمت=Rahmat نجیب=Najib کریم=Karim حمید=Hamid جواد=Jawad فرهاد=Farhad میرویس=Mirwais
middle محمد_علی=Mohammad_Ali احمد_شاه=Ahmad_Shah عبدالرحیم=Abdul_Rahim نورالدین=Nooruddin
family احمدی=Ahmadi رحیمی=Rahimi حیدری=Haidari نوری=Noori کریمی=Karimi صدیقی=Sediqi رضایی=Rezai محمدی=Mohammadi
places کابل=Kabul هرات=Herat بامیان=Bamyan غزنی=Ghazni مزار_شریف=Mazar-e_Sharif کندز=Kunduz پغمان=Paghman
phones +93_70#_###_### 070#_###_### 0799-###### +9378#######
ids ####-####-##### P######## AFG-##C#####"""
_TRADITIONS = tuple(_tradition(paragraph) for paragraph in _PARAGRAPHS.split("\n\n"))
