"""Words and digits that people write where they have nothing to write. Pure.

A placeholder taken for a value makes strangers match; a value taken for a placeholder leaves one row uncompared, and
is reported. So the bare words `Na`, `Nil`, `No`, `None` and `Null` are placeholders although a few people bear such a
name alone; `Nan` and `Nada`, common names, are not, and neither is any of these words beside another one.
"""

from __future__ import annotations

import re

from parties.normalise.characters import ascii_digits

_WORDS = frozenset(
    word.strip()
    for line in """
    n/a, na, n/d, nd, n/k, s/n, s/d, none, no, nil, null, empty, blank, void, test, tbd, tbc, x, unknown, unk, unnamed
    lost, pending, perdu, perdue, perdido, perdida, en cours, en trámite, втрачено, загублено, утеряно, утерян, مفقود
    not known, not available, not applicable, not provided, not specified, not given, not recorded, no data, no id
    no name, no phone, no number, no document, not stated, missing, undefined, nothing, don't know, do not know
    #ref, #value, #name, #div/0, #num, #null, #n/a, #n/a n/a
    inconnu, inconnue, néant, neant, aucun, aucune, non, non disponible, non renseigné, non renseigne, non applicable
    non communiqué, non spécifié, non précisé, pas de numéro, pas de téléphone, pas de document, sans numéro, sans nom
    sans document, sans téléphone, vide, rien, pas disponible, ne sait pas
    desconocido, desconocida, ninguno, ninguna, no tiene, no sabe, no aplica, no disponible, no especificado
    no registra, no informa, sin datos, sin dato, sin información, sin numero, sin número, sin nombre, sin documento
    sin teléfono, sin telefono, vacío, prueba
    غير معروف, غير معروفة, غير متوفر, غير متوفرة, غير موجود, غير محدد, لا يوجد, لايوجد, لا توجد, لا شيء, لا, مجهول
    مجهولة, بدون, بدون رقم, بدون اسم, لا ينطبق, لا أعرف, لا اعرف, فارغ, ليس لديه, تجربة
    невідомо, невідомий, невідома, не відомо, не вказано, немає, нема, ні, відсутній, відсутня, відсутнє, без номера
    без імені, н/д, н/в, не застосовується, не надано, не визначено, даних немає, немає даних, порожньо
    неизвестно, неизвестный, неизвестная, неизвестен, неизвестна, не известно, не указано, не указан, не указана, нет
    нету, отсутствует, без имени, не применимо, не предоставлено, нет данных, пусто, тест
    """.strip().splitlines()
    for word in line.split(",")
)
_EDGES = " .,:;-_()[]<>{}*\"'`?!«»\N{ARABIC QUESTION MARK}\N{EN DASH}\N{EM DASH}"
_NOTHING = re.compile(r"[\s!-/:-@\[-`{-~«»\u2010-\u2015\u2022\u2212\u060c\u061b\u061f]*")
_CROSSES = re.compile(r"x{2,}|х{2,}")  # Latin, Cyrillic
_SEPARATORS = re.compile(r"[\s+()./_-]+")
_RUNS = frozenset(
    run[:length] for run in ("1234567890" * 2, "0123456789" * 2, "9876543210") for length in range(5, len(run) + 1)
)


def is_placeholder(text: str) -> bool:
    """Whether a cell, as `parties.normalise.characters.text` gives it, stands for no value.

    That is: words such as `n/a` or `unknown` in six languages, punctuation alone, `xxx`, an error of a spreadsheet
    such as `#REF!`, zeros alone, one digit five times or more, and `12345` and so on. Separators between digits do
    not count.
    """
    text = ascii_digits(text)
    if not text[:1].isalpha():
        digits = text if text.isdecimal() else _SEPARATORS.sub("", text)
        if digits.isdecimal():
            return digits.count(digits[0]) == len(digits) >= (1 if digits[0] == "0" else 5) or digits in _RUNS
        if _NOTHING.fullmatch(text):
            return True
    words = text.strip(_EDGES)
    first, _, others = words.partition(" ")
    if len(first) > 3 and others and set(others.split()) == {first}:
        words = first  # `unknown unknown`, of two columns joined; but `Na Na` is a name
    return words in _WORDS or words.replace(".", "") in _WORDS or bool(_CROSSES.fullmatch(words))
