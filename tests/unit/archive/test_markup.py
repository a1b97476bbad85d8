"""Tokens of HTML: ordinary markup as a browser reads it, any markup in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.archive.markup import tokens


def read(text: str) -> list[tuple[str, str]]:
    return [(kind, name) for kind, name, _ in tokens(text)]


def test_ordinary_markup() -> None:
    assert read("<p class=a>x &amp; y</p>") == [("start", "p"), ("text", "x & y"), ("end", "p")]
    assert read("a<br/>b") == [("text", "a"), ("start", "br"), ("text", "b")]
    assert read("<!doctype html><!-- c > --><?php ?><B>x</B >") == [("start", "b"), ("text", "x"), ("end", "b")]
    assert read("1 < 2 <3 < </ ok") == [
        ("text", "1 "),
        ("text", "<"),
        ("text", " 2 "),
        ("text", "<"),
        ("text", "3 "),
        ("text", "<"),
        ("text", " "),
        ("text", "<"),
        ("text", "/ ok"),
    ]


def test_attributes_in_all_their_forms() -> None:
    ((_, _, found),) = tokens("""<a B=1 c='2 "x"' d="3 > 'y'" e b=again f = g h=&lt;/>""")
    assert found == {"b": "1", "c": '2 "x"', "d": "3 > 'y'", "e": "", "f": "g", "h": "</"}
    ((_, _, found),) = tokens("<a =x ' \">")
    assert set(found) == {"=x", "'", '"'}


def test_the_inside_of_raw_elements_is_no_markup() -> None:
    assert read("<script>a<b>c</scrip></script><i>") == [("start", "script"), ("end", "script"), ("start", "i")]
    assert read("<STYLE>p{x:y}</Style>z") == [("start", "style"), ("style", "p{x:y}"), ("end", "style"), ("text", "z")]
    assert read("<textarea><img></textarea>") == [("start", "textarea"), ("end", "textarea")]
    assert read("<title>x") == [("start", "title")]


def test_drawings_are_one_token() -> None:
    drawing = '<svg a="b"><g><svg></svg></g></svg>'
    assert read(f"x{drawing}y") == [("text", "x"), ("start", "svg"), ("svg", drawing), ("text", "y")]
    assert read("<svg/>y") == [("start", "svg"), ("text", "y")]
    assert read("<svg><g>never closed") == [("start", "svg")]


@pytest.mark.parametrize("text", ["<p", "<p class", "<p class=", '<p class="x', "<p class='x>y", "<!--", "<!x", "</p"])
def test_what_is_not_closed_swallows_the_rest(text: str) -> None:
    assert read(f"a{text}") == [("text", "a")]


HOSTILE = ["<a ", '<a b="', "<a b='", "<a b=", "<", "</", "</a ", "<!--", "<![CDATA[", "<?", "<script>", "<style></"]
HOSTILE += ["<svg>", "<svg><", "&#x", "&", "<a/", "<a =", "<a b c ", '<a b="">', "<textarea>", "<p>", "</p>", "<i\n"]
HOSTILE += ["<!-- --", "-->"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_whatever_the_text(piece: str) -> None:
    """A reader that is quadratic needs minutes for these."""
    text = piece * (400_000 // len(piece))
    began = time.process_time()
    for _ in tokens(text):
        pass
    assert time.process_time() - began < 5


@given(st.text(alphabet="<>/=\"'! -abspvgcrityle&;#x\n", max_size=200))
def test_any_text_ends(text: str) -> None:
    for kind, name, attributes in tokens(text):
        assert kind in {"text", "start", "end", "svg", "style"}
        assert isinstance(name, str)
        assert len(attributes) <= 64
