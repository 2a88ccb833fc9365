"""Pages show texts as they are, whatever strangers have called their files."""

from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from reports.page import Finding, Report, marked_up, unmarked

PNG = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
HOSTILE = '<script>alert("1")</script>&amp;{{ 7 * 7 }}{% raw %}\' onload=x'


class Read(HTMLParser):
    """Tags and texts of a page, and the texts of attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.attributes, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [] if tag in ("meta", "img", "br", "source") else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page(text):
    report = Report(text, text)
    report.section(text)
    report.text(text)
    report.heading(text)
    report.table(pd.DataFrame({text: [text, "x"], "number": [1.5, 2]}), [True, False])
    report.charts([("name", (PNG, PNG), text)])
    report.picture(PNG, text)
    report.cells([(PNG, f"{text}\n{text}")])
    report.group(text, [text, text], [(PNG, text)])
    report.findings += [Finding(level, text, text) for level in ("note", "look", "problem")]
    return report


@given(TEXTS.filter(lambda text: "`" not in text and "**" not in text))
@example(HOSTILE)
def test_any_text_is_shown_as_it_is(text):
    plain, given = Read(page("Zq").html()), Read(page(text).html())
    assert given.tags == plain.tags
    assert given.open == []
    assert given.texts == [one.replace("Zq", text) for one in plain.texts]
    assert {value for name, value in given.attributes if name == "alt"} >= {text, f"{text}, {text}"}


@given(TEXTS, TEXTS)
@example("a", HOSTILE)
def test_marks_become_tags_and_no_more(before, inside):
    before, inside = (text.replace("`", "").replace("*", "") or "x" for text in (before, inside))
    for mark, tag in (("`", "code"), ("**", "b")):
        read = Read(marked_up(f"{before}{mark}{inside}{mark}"))
        assert (read.tags, "".join(read.texts)) == ([tag], before + inside)
        assert unmarked(f"{before}{mark}{inside}{mark}") == before + inside


def test_problems_come_first_on_the_page():
    report = page("x")
    assert [finding.level for finding in report.ordered()] == ["problem", "look", "note"]
    report.findings.clear()
    assert "Nothing stands out." in report.html()


def test_the_page_needs_no_other_file_and_no_network():
    read = Read(page("x").html())
    addresses = [value for name, value in read.attributes if name in ("src", "srcset", "href")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)


def test_files_beside_the_page(tmp_path):
    report = Report("t", "l", tmp_path / "new")
    report.section("s")
    report.charts([("Some chart", (PNG, PNG), "seen")])
    report.save(tmp_path / "new" / "report.html")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "some-chart.png"]
