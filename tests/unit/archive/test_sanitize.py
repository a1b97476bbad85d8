"""HTML from outside: what is shown of it, and what never is."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator

import pytest
from bleach._vendor import html5lib
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbflow.archive.sanitize import ALLOWED, FRAMED, picture, sanitize

PAYLOADS = [
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='data:text/html;base64,PHNjcmlwdD4='>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<img src=http://evil.example/x.png srcset='http://evil.example/y 2x'>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='vbscript:x'>x</a><a href='data:text/html,x'>y</a><a href='//evil.example'>z</a>",
    "<a href='file:///etc/passwd'>x</a>",
    "<iframe src='http://evil.example'></iframe><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='http://evil.example'></object><embed src='http://evil.example'><applet code=x></applet>",
    "<form action='http://evil.example'><input name=password><button formaction='javascript:x'>go</button></form>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href='http://evil.example'><link rel=stylesheet href='http://evil.example'>",
    "<link rel=dns-prefetch href='//evil.example'>",
    "<style>@import url(http://evil.example); body{display:none}</style>",
    "<p style='background:url(http://evil.example)'>x</p>",
    "<p style='background:image-set(\"http://evil.example\" 1x)'>x</p>",
    "<p style='width:expression(alert(1));behavior:url(x);-moz-binding:url(x)'>x</p>",
    "<p style='position:fixed;top:0;left:0;z-index:9999'>x</p>",
    "<div id=failed class='banner top page'>x</div>",
    "<video src='http://evil.example' autoplay onloadstart=alert(1)></video><audio src=x></audio>",
    "<template><script>alert(1)</script></template><noscript><img src=x onerror=alert(1)></noscript>",
    "<textarea></textarea><script>alert(1)</script>",
    "<xmp><script>alert(1)</script></xmp><title><img src=x onerror=alert(1)></title><plaintext>",
    "<p title='\"><script>alert(1)</script>'>x</p>",
    "</div></section></main></body></html><h1>Breakout</h1>",
    "<body onload=alert(1) background='http://evil.example'>",
    "<table background='http://evil.example'><td background='http://evil.example'>x</table>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<img src=x alt='a' width='1\" onerror=\"alert(1)'>",
]


def parsed(markup: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Elements and attributes that a browser's algorithm finds."""
    tree = html5lib.parseFragment(markup, treebuilder="etree", namespaceHTMLElements=False)
    for element in tree.iter():
        if isinstance(element.tag, str) and element.tag != "DOCUMENT_FRAGMENT":
            yield element.tag, dict(element.attrib)


def assert_harmless(markup: str, allowed: frozenset[str] = ALLOWED) -> None:
    for tag, attributes in parsed(markup):
        assert tag in allowed, tag
        for key, value in attributes.items():
            assert not key.startswith("on"), key
            if key == "src":
                assert re.fullmatch(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=\s]+", value)
            elif key == "href":
                assert re.match(r"https?://|mailto:|#h-", value), value
            elif key == "style":
                assert not re.search(r"url|expression|position|import|@|\\", value), value
            else:
                assert key not in {"srcset", "action", "formaction", "srcdoc", "data", "background", "name", "ping"}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("framed", [False, True])
def test_payloads_are_harmless(payload: str, framed: bool) -> None:
    for text in (payload, f"<table><tr><td>{payload}</table>", f"<p title='{payload}", f"<svg>{payload}</svg>"):
        assert_harmless(sanitize(text, framed=framed).markup, FRAMED if framed else ALLOWED)


PIECES = [*PAYLOADS, "<li>", "<ul>", "</ul>", "<div>", "</div>", "<table>", "<tr>", "<td>", "</table>", "<p>", "</p>"]
PIECES += [
    "<b>",
    "</b>",
    "<a href=http://x.y>",
    "</a>",
    "<dd>",
    "<dl>",
    "<h1>",
    "<h2>",
    "text",
    "<caption>",
    "</section>",
]
PIECES += ["<pre>", "<summary>", "<details>", "<colgroup>", "<tbody>", "<center>", "<blockquote>", "<span>", "</span>"]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=14).map("".join))
@settings(max_examples=150, deadline=None)
@example("<ul><li><div><li>")
@example("<dl><dd><div><dt>x</dl>")
@example("<p><div></p></div><table><div><tr></table>")
def test_no_text_breaks_out_of_the_element_that_holds_it(text: str) -> None:
    """What follows the element that holds the output is still its sibling, and what holds it is still open."""
    safe = sanitize(text)
    page = f"<body><main><section id=cell><div id=holder>{safe.markup}</div><i id=after></i></section></main>"
    tree = html5lib.parse(page, treebuilder="etree", namespaceHTMLElements=False)
    (section,) = [found for found in tree.iter("section") if found.get("id") == "cell"]
    assert [child.get("id") for child in section] == ["holder", "after"]
    assert_harmless(safe.markup)


@given(st.text(max_size=120))
@settings(deadline=None)
def test_text_without_markup_is_kept(text: str) -> None:
    plain = re.sub(r"[<&\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "", text)
    tree = html5lib.parseFragment(f"<pre>{sanitize(plain).markup}</pre>", treebuilder="etree")
    assert "".join(tree.itertext()) == plain


def test_a_table_of_pandas_keeps_its_shape() -> None:
    text = (
        "<div>\n<style scoped>.dataframe tbody tr th {vertical-align: top;}</style>\n"
        '<table border="1" class="dataframe">\n<thead><tr style="text-align: right;"><th></th><th>a</th></tr></thead>'
        '<tbody><tr><th>0</th><td rowspan="2">1 &lt; 2</td></tr></tbody></table>\n</div>'
    )
    safe = sanitize(text)
    assert safe.markup == (
        '<div>\n\n<table class="dataframe">\n<thead><tr style="text-align:right"><th></th><th>a</th></tr></thead>'
        '<tbody><tr><th>0</th><td rowspan="2">1 &lt; 2</td></tr></tbody></table>\n</div>'
    )
    assert safe.styles == [".dataframe tbody tr th {vertical-align: top;}"]
    assert (safe.active, safe.filled, safe.coloured, safe.rows) == (False, True, False, 2)


def test_links_lead_out_or_to_headings_only() -> None:
    safe = sanitize("<a href='https://x.y/?a=1&b=2' target=_top>a</a><a href='#Look'>b</a><a href='other.ipynb'>c</a>")
    links = [attributes.get("href") for tag, attributes in parsed(safe.markup) if tag == "a"]
    assert links == ["https://x.y/?a=1&b=2", "#h-Look", None]
    assert "target" not in safe.markup
    assert safe.markup.count('rel="noopener noreferrer"') == 3


def test_styles_that_stay_inside_are_kept() -> None:
    safe = sanitize(
        "<td style='COLOR: red; background: linear-gradient(90deg, #5fba7d 50%, transparent); top: 0'>x</td>"
    )
    assert "color:red;background:linear-gradient(90deg, #5fba7d 50%, transparent)" in safe.markup
    assert "top" not in safe.markup
    assert safe.coloured


def test_pictures_in_the_text_are_kept_and_others_are_named() -> None:
    pixel = "data:image/png;base64,iVBORw0KGgo="
    assert sanitize(f"<img src='{pixel}' width=20 alt=a onload=x>").markup == f'<img src="{pixel}" alt="a" width="20">'
    assert "../secret.png" in sanitize("<img src='../secret.png'>").markup
    assert "<img" not in sanitize("<img src='../secret.png'>").markup
    assert "chart" in sanitize("<img src='http://evil.example/x' alt='chart'>").markup


def test_inline_drawings_become_images_in_which_nothing_runs() -> None:
    safe = sanitize('a<svg width="9"><circle r="3" onclick="x()"/><use xlink:href="#a"/></svg>b')
    found = re.fullmatch(r'a<img src="data:image/svg\+xml;base64,([^"]+)" alt="drawing">b', safe.markup)
    assert found
    drawing = base64.b64decode(found[1]).decode()
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawing
    assert 'xmlns:xlink="http://www.w3.org/1999/xlink"' in drawing


@pytest.mark.parametrize(
    "svg", ["<svg><g></svg>", "<svg a=1></svg>", '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', ""]
)
def test_malformed_drawings_are_none(svg: str) -> None:
    assert picture(svg) is None


def test_what_was_active_is_told() -> None:
    for text in ("<script>x</script>", "<iframe></iframe>", "<canvas></canvas>", "<div><object></object></div>"):
        assert sanitize(text).active
    for text in ("<p>x</p>", "<b>x</b><svg></svg>", ""):
        assert not sanitize(text).active
    assert not sanitize("<div id=plot></div> \n").filled


def test_frames_keep_what_their_style_sheets_need() -> None:
    text = (
        "<style>#T_1{color:red}</style><div id=T_1 class='a b'><input type=checkbox id=c><label for=c>x</label></div>"
    )
    framed = sanitize(text, framed=True)
    assert '<div class="a b" id="T_1">' in framed.markup
    assert '<input id="c" type="checkbox"><label for="c">x</label>' in framed.markup
    assert "<input" not in sanitize(text).markup
    assert "<input" not in sanitize("<input type=password>", framed=True).markup


def test_items_that_are_not_closed_end_where_a_browser_ends_them() -> None:
    assert sanitize("<ul><li><div>a<li>b</ul>").markup == "<ul><li><div>a</div></li><li>b</li></ul>"
    assert sanitize("<ul><li>a<ul><li>b</ul><li>c</ul>").markup == ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>")


@pytest.mark.parametrize(
    "piece", ["<div>", "<li>", "<b><p>", "<ul><li><div>", "</p>", "<template>", "<a href='#x'>", "<svg></svg>"]
)
def test_time_is_linear_and_depth_is_bounded(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    began = time.process_time()
    markup = sanitize(text).markup
    assert time.process_time() - began < 6
    depth = deepest = 0
    for closing in re.findall(r"<(/?)(?!img|br)[a-z]", markup):
        depth += -1 if closing else 1
        deepest = max(deepest, depth)
    assert depth == 0
    assert deepest <= 80
