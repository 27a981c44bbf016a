"""Targets: lists in CSV and XLSX, whole files and what stands in them."""

from __future__ import annotations

import io
import re
import zipfile
from itertools import pairwise
from random import Random
from xml.etree import ElementTree

from parties import fields, records
from parties.check import check_list
from parties.csvfile import write_rows
from parties.page import check_page
from parties.records import ListOptions, SourceList
from parties.report import check_text
from parties.rules import Rule
from parties.shown import JOINERS
from tests.fuzz.target import MARK, Target, folder, in_file
from tests.parties.workbooks import MAIN, PARTS, SHEET, row, sheet

RULES = (Rule("id", ("id_number",)), Rule("name and birth", ("full_name:sorted", "birth_date")))
UNSEEN = dict.fromkeys(map(ord, JOINERS))
Cells = dict[int, list[str]]


def _cells(source: SourceList) -> Cells:
    """All rows by their numbers; these ascend, and every row has a cell for each heading."""
    found = {
        number: list(cells)
        for batch in source.batches()
        for number, *cells in zip(batch.numbers.tolist(), *(c.to_pylist() for c in batch.columns), strict=True)
    }
    assert found
    assert all(a < b for a, b in pairwise(found))
    assert all(len(cells) == len(source.headings) for cells in found.values())
    return found


def _reads_and_returns(data: bytes, name: str) -> None:
    """What can be read can be written with a column more, and reads the same again."""
    source = records.open_list(in_file(name, data), ListOptions())
    own, out = _cells(source), folder() / f"out{source.suffix}"
    source.write(out, ["match"], iter([["=yes"]] * len(own)))
    again = records.open_list(out, ListOptions(heading_row=source.head.row))
    assert {n: [*filter(None, cells)] for n, cells in _cells(again).items()} == {
        n: [*filter(None, cells), "=yes"] for n, cells in own.items()
    }


def _csv(data: bytes) -> None:
    _reads_and_returns(data.replace(b"Anna", MARK), "list.csv")


def _checked(data: bytes) -> None:
    """Whatever stands in a list, a look at it is lines of text and a page that is well-formed."""
    heading, *texts = data.decode("utf-8", "replace").replace("\0", "").split(";")
    path = in_file("checked.csv", b"")
    with path.open("wb") as file:
        write_rows(file, [["ID number", "Full name", "Date of birth", heading], *([text] * 4 for text in texts)])
    checked = check_list(fields.open_list(path), RULES, "UA")
    assert all(finding.to_text().translate(UNSEEN).isprintable() for finding in checked.findings)
    assert sum(map(len, check_text(checked).split("\n"))) < 20_000
    ElementTree.fromstring(check_page(checked).removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own page


LISTS = (
    "Given name,Phone number\nAnna,067\nOlena,\n",
    'List of 2026;;\n\nid;"na\nme";x\n"a\nb";"c;""d""";\n;;\ne;f;g;;\n',
    'id_number\tname\n#meta+id\t#name\n\'=1\t+380 67\r\nB\t""\r',
)
CELLS = "Note;AB123456;Anna, née Petit;31.12.1980;<b>&amp;</b>;=1+1;\u202eevil;x\ny;مريم;1234567890.0;1980"
JOINED = "name\u200c;AB123456;Anna"


def _csvs() -> list[bytes]:
    texts = [text.encode(encoding) for text in LISTS for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be")]
    cyrillic = "Прізвище;Імя\nКовальчук;Олена\nІваненко;Петро\nЇжакевич;Софія\n"
    return [*texts, cyrillic.encode("cp1251"), cyrillic.encode("utf-8"), "nom;prénom\nLefèvre;André\n".encode("cp1252")]


def _xlsx(data: bytes) -> None:
    if data.startswith(b"PK\3\4"):  # anything else is no workbook
        _reads_and_returns(data, "list.xlsx")


FORMATS = '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="46"/>'
STYLES = f'<styleSheet xmlns="{MAIN}"><cellXfs>{FORMATS}</cellXfs></styleSheet>'
TEXTS = "<si><t>Given name</t></si><si><r><t>An</t></r><r><t>na</t></r></si><si><t>x y</t></si>"
SHARED = f'<sst xmlns="{MAIN}">{TEXTS}</sst>'
BODY = (
    '<row r="1" spans="1:3"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>Phone</t></is></c></row>'
    '<row r="2" hidden="1"><c r="A2" t="s"><v>1</v></c><c r="B2" s="1"><v>30000</v></c><c r="C2" t="b"><v>1</v></c>'
    "</row>"
    '<row r="4"><c r="A4" t="e"><v>#N/A</v></c><c r="B4" s="2"><v>1.5</v></c><c r="C4"><f>1+1</f><v>2</v></c></row>'
    '<row r="5"><c r="A5" t="d"><v>2020-01-01</v></c><c r="B5"><f>A1</f></c><c r="C5"><v>1E400</v></c></row>'
)
MERGED = '</sheetData><mergeCells count="1"><mergeCell ref="A4:A5"/></mergeCells>'


def _workbooks() -> list[bytes]:
    plain = sheet(row(1, "Given name", "Phone") + row(2, "Anna", "067") + "<row><c><v>1</v></c><c/></row>")
    rich = sheet(BODY).replace("<sheetData>", '<dimension ref="A1:C5"/><sheetData>').replace("</sheetData>", MERGED)
    prefixed = re.sub(r"<(/?)(?=[a-z])", r"<\1x:", plain).replace("xmlns=", "xmlns:x=")
    parts = {"xl/styles.xml": STYLES, "xl/sharedStrings.xml": SHARED}
    return [_zipped(_encoded(PARTS | parts | {SHEET: text})) for text in (plain, rich, prefixed)]


def _encoded(parts: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in parts.items()}


def _zipped(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return file.getvalue()


XML = (
    b"<", b">", b'"', b"'", b"&amp;", b"&#x0;", b"&a;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?a ", b"?>", b"\0",
    b"<!DOCTYPE a>", b' r="XFD1048576"', b' r="A0"', b' r="A99999999999"', b' r="ZZZZZZZZ1"', b' t="s"', b' t="e"',
    b' t="d"', b' t="str"', b' s="1"', b' s="2"', b' a=">"', b""" a="r='A1'" """, b' x:r="A1"', b"<c/>", b"<row/>",
    b"<v>-1e300</v>", b"<v>99999999999</v>", b"<v>-1</v>", b"<v>1</v>", b"<si/>", b"</row>", b"</sheetData>", b"../",
    b"/xl/", b"%2e", b"\\", b'<mergeCell ref="A1:XFD1048576"/>', b'<mergeCell ref="C9:A1"/>', b' state="hidden"',
)  # fmt: skip


def _in_parts(data: bytes, random: Random) -> bytes:
    """A workbook with something else in one of its parts, or with a part left out, renamed or added."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # what is no archive any more stays as it is
        return data
    if not parts:
        return data
    name = random.choice([*parts, *[SHEET] * (3 * (SHEET in parts))])
    content, way = parts[name], random.random()
    if way < 0.05:
        parts[random.choice((name.upper(), f"xl/{name}", name.replace("/", "\\"), "xl/sharedStrings.xml"))] = content
    elif way < 0.08:
        del parts[name]
    else:
        places = sorted(random.choices([m.start() for m in re.finditer(rb"[<>\s\"/]", content)] or [0], k=2))
        middle = random.choice((random.choice(XML), content[places[0] : places[1]] * 2, b"", random.choice(XML)))
        parts[name] = content[: places[0]] + middle + content[places[random.choice((0, 1))] :]
    return _zipped(parts)


WORDS = (
    b'"',
    b'""',
    b";",
    b",",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"=",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
)
SHOWN = (b"<b>", b"\xe2\x80\xae", b"\x1b[", b'"', b";")
ZIP = (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\7")
TARGETS = (
    Target("csv", _csv, _csvs, words=WORDS, longest=1 << 11),
    Target("list-check", _checked, lambda: [CELLS.encode(), JOINED.encode()], words=SHOWN, longest=1 << 9),
    Target("xlsx", _xlsx, _workbooks, mutate=_in_parts, words=ZIP),
)
