import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from parties.check import ColumnCheck, ListCheck, RuleCheck
from parties.findings import Finding, Severity
from parties.page import check_page, result_page, story_page
from parties.results import REVIEW, Summary
from parties.revealed import LEARNS
from parties.shown import NAME_CHARS
from parties.story import Section, Story
from tests.parties.samples import manifest

NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x>",
    "a&b",
    "قائمة <b>",
    "\u202eevil",
    "\0\x1b[31m\ud800",
    "x" * 10_000,
]


def summary(**changes: object) -> Summary:
    numbers: dict[str, object] = {
        "session": "Winter cash",
        "member": "agency-a",
        "rows": 12_345,
        "reported": 12_345,
        "matched": 1_204,
        "not_compared": 87,
        "matched_by_rule": {"id": 1_100, "phone and birth date": 320},
        "unusable_by_rule": {"id": 2_469, "phone and birth date": 640},
        "unusable_by_reason": {"phone is empty": 80, "id_number holds a placeholder, not a value": 7},
        "same_inside": 31,
        "judged_distinct": 12,
    }
    return Summary(**(numbers | changes))  # type: ignore[arg-type]


def check(text: str = "Phone", findings: tuple[Finding, ...] = ()) -> ListCheck:
    columns = (ColumnCheck(text, "phone", "heading", 950, (text, text)), ColumnCheck("Notes", "", "", 0, ("", "")))
    rules = (RuleCheck("id", ("id_number",), 900, (7, 19), 3, (text, "1980-01-01")),)
    empty = {text: 50, "Notes": 1_000}
    return ListCheck("list.csv", (text, "Notes"), 1_000, empty, columns, rules, 960, findings, ())


class Parsed(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def pages(text: str = "id") -> Iterator[str]:
    """All pages, with a text wherever people's texts are shown."""
    findings = tuple(Finding(severity, text, text, 3, (4, 5, 6)) for severity in Severity)
    by_text = {"matched_by_rule": {text: 5}, "unusable_by_rule": {text: 6}, "unusable_by_reason": {text: 7}}
    yield check_page(check(text, findings))
    yield result_page(summary(session=text, member=text, **by_text), manifest())
    yield story_page(Story(text, text, (Section(text, ("term", "agreed"), [(text, text), (text, text)]),)))


def tree(page: str) -> ElementTree.Element:
    """A page as XML, which is stricter than HTML."""
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own page


def tables(page: str) -> list[list[list[str]]]:
    """For each table its rows' texts; drawings left out."""
    root = tree(page)
    for cell in root.iter("td"):
        for drawing in cell.findall("svg"):
            cell.remove(drawing)
    return [[["".join(cell.itertext()) for cell in row] for row in table.iter("tr")] for table in root.iter("table")]


@pytest.mark.parametrize("text", NASTY)
def test_no_text_of_people_becomes_markup(text: str) -> None:
    for plain, nasty in zip(pages(), pages(text), strict=True):
        assert [name for name, _ in Parsed(nasty).tags] == [name for name, _ in Parsed(plain).tags]
        assert [e.tag for e in tree(nasty).iter()] == [e.tag for e in tree(plain).iter()]
        nasty.encode()


def test_a_long_heading_is_cut_in_tables() -> None:
    cells = [cell for table in tables(check_page(check("x" * 10_000))) for row in table for cell in row]
    assert max(map(len, cells)) == NAME_CHARS
    assert "x" * (NAME_CHARS - 1) + "…" in cells


def test_pages_need_nothing_and_do_nothing() -> None:
    for page in pages("https"):
        parsed = Parsed(page)
        assert not {"script", "link", "img", "iframe", "form", "a"} & {name for name, _ in parsed.tags}
        assert not re.search(r"https?://|//[a-z]|url\(|@import", page)
        assert not any(name.startswith("on") or name in ("src", "href") for _, a in parsed.tags for name in a)
        policies = [a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_drawings_say_what_they_show_and_stand_beside_their_numbers() -> None:
    drawings = list(tree(result_page(summary(), manifest())).iter("svg"))
    assert [(d.findtext("title"), d.findtext("desc")) for d in drawings[:2]] == [
        ("id", "1,100 of 12,345 rows, 8.9%"),
        ("phone and birth date", "320 of 12,345 rows, 2.6%"),
    ]
    assert [d.findall("rect")[1].get("width") for d in drawings[:2]] == ["8.91", "2.59"]
    assert all(d.get("role") == "img" for d in drawings)


def test_a_result_in_numbers() -> None:
    page = result_page(summary(), manifest(reveal="count", purpose="before <b> distribution"))
    numbers = dict(re.findall(r"<dt>([^<]+)</dt><dd>([\d,]+)</dd>", page))
    assert numbers == {
        "rows in your list": "12,345",
        "also with another member": "1,204",
        "not compared": "87",
        "twice in your own list": "31",
        "judged distinct before": "12",
    }
    assert tables(page) == [
        [["rule", "of 12,345 rows", "rows", "share"], ["id", "", "1,100", "8.9%"],
         ["phone and birth date", "", "320", "2.6%"]],
        [["rule", "of 12,345 rows", "rows", "share"], ["id", "", "2,469", "20.0%"],
         ["phone and birth date", "", "640", "5.2%"]],
        [["reason", "of 12,345 rows", "rows", "share"], ["phone is empty", "", "80", "0.6%"],
         ["id_number holds a placeholder, not a value", "", "7", "0.1%"]],
    ]  # fmt: skip
    for told in (
        REVIEW,
        "agency-a alone learned",
        LEARNS["count"],
        "agency-a, agency-b, neutral",
        "before &lt;b&gt; distribution",
    ):
        assert told in page


def test_a_result_of_new_rows_is_measured_by_them() -> None:
    page = result_page(summary(reported=2_408), manifest())
    assert "<dt>new rows, which are reported</dt><dd>2,408</dd>" in page
    assert tables(page)[0][1] == ["id", "", "1,100", "45.7%"]


def test_nothing_found_is_no_plot() -> None:
    nothing = {"matched_by_rule": {"id": 0}, "unusable_by_rule": {"id": 0}, "unusable_by_reason": {}}
    page = result_page(summary(rows=0, reported=0, matched=0, **nothing), manifest())
    assert "<svg" not in page
    assert "<table" not in page
    assert REVIEW in page


def test_a_look_at_a_list() -> None:
    findings = (
        Finding(Severity.STOP, "one value stands on many rows.", "Phone", 120, (2, 3, 4)),
        Finding(Severity.NOTE, "The headings are taken from row 3."),
    )
    page = check_page(check(findings=findings))
    assert tables(page) == [
        [
            ["", "column", "what is so", "rows", "first rows"],
            ["stop", "Phone", "one value stands on many rows.", "120", "2, 3, 4"],
            ["note", "", "The headings are taken from row 3.", "", ""],
        ],
        [
            ["column", "stands for", "found by", "filled", "rows", "share", "for example", "compared as"],
            ["Phone", "phone", "heading", "", "950", "95.0%", "Phone", "Phone"],
            ["Notes", "", "", "", "0", "0.0%", "", ""],
        ],
        [
            ["rule", "usable", "rows", "share", "repeat others", "compared as, for example", "first unusable rows"],
            ["id", "", "900", "90.0%", "3", "Phone | 1980-01-01", "7, 19"],
        ],
    ]
    assert re.findall(r'<span class="(\w+)">(\w+)</span>', page)[:2] == [("stop", "stop"), ("note", "note")]
    assert "needs a person's attention" not in page
    assert "needs a person&#x27;s attention" in check_page(check())


def test_a_sessions_story() -> None:
    sections = (
        Section("What happened", ("time (UTC)", "event"), [("2026-11-20 12:00", "x" * 1_000)]),
        Section("Who contributed", ("member", "contributed"), [("agency-a", "1,000 records")]),
    )
    page = story_page(Story("Winter cash", "As told by the log of agency-a.", sections))
    assert tables(page) == [
        [["time (UTC)", "event"], ["2026-11-20 12:00", "x" * 1_000]],
        [["member", "contributed"], ["agency-a", "1,000 records"]],
    ]
    assert [e.text for e in tree(page).iter("h2")] == ["What happened", "Who contributed"]
    assert "As told by the log of agency-a." in page
