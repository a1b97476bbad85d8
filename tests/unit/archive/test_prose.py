"""Markdown, code and terminal text as markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.archive import prose

PIXEL = "iVBORw0KGgo="


def rendered(source: str, **more: object) -> str:
    return str(prose.markdown(source, **more)[0])


def test_markdown_of_notebooks() -> None:
    text = rendered(
        "**b** `c` ~~d~~\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n1. x\n   - [x] y\n   - [ ] z\n\n> q\n\n"
        "```python\nx = 1\n```"
    )
    for piece in ("<strong>b</strong>", "<code>c</code>", "<del>d</del>", "<td>1</td>", "<blockquote>", "☑ y", "☐ z"):
        assert piece in text
    assert 'class="n"' in text or 'class="o"' in text


def test_headings_get_identifiers_of_their_own_space() -> None:
    taken: set[str] = set()
    markup, headings = prose.markdown("# Load *all*\n\n## failed\n\n[there](#failed)", taken=taken)
    assert [(heading.level, heading.text, heading.anchor) for heading in headings] == [
        (1, "Load all", "h-Load-all"),
        (2, "failed", "h-failed"),
    ]
    assert '<h2 id="h-failed">failed</h2>' in markup
    assert 'href="#h-failed"' in markup
    _, again = prose.markdown("# failed", taken=taken)
    assert again[0].anchor == "h-failed-2"


def test_heading_text_cannot_leave_its_identifier() -> None:
    markup, headings = prose.markdown(
        '# a"><img src=x onerror=alert(1)> <b id=failed>x</b>\n\n<h2 id=failed onclick=x>y</h2>'
    )
    assert len(headings) == 2
    assert "onerror" not in re.sub(r'id="[^"]*"', "", markup)
    assert 'id="failed"' not in markup
    assert "onclick" not in markup


def test_mathematics_stays_as_tex() -> None:
    text = rendered("a $x < y_1$ b\n\n$$\\sum_{i}^{n} <b>$$\n\n\\begin{equation}E = mc^2\\end{equation}")
    assert '<code class="tex">x &lt; y_1</code>' in text
    assert '<code class="tex">\\sum_{i}^{n} &lt;b&gt;</code>' in text.replace("tex wide", "tex")
    assert "\\begin{equation}E = mc^2\\end{equation}" in text


def test_attachments_are_shown_and_other_pictures_are_named() -> None:
    attachments = {"a.png": {"image/png": PIXEL}}
    assert f'src="data:image/png;base64,{PIXEL}"' in rendered("![x](attachment:a.png)", attachments=attachments)
    for source in ("![x](attachment:gone.png)", "![x](../../etc/passwd)", "![x](http://evil.example/a.png)"):
        text = rendered(source, attachments=attachments)
        assert "<img" not in text
        assert "image not kept in the notebook: x" in text
    assert "<img" not in rendered("![x](attachment:a.png)", attachments={"a.png": {}})


def test_raw_html_in_markdown_is_sanitized() -> None:
    text = rendered("<script>alert(1)</script>\n\n<div onclick='x()'>a</div>\n\n[x](javascript:alert(1)) <b>ok</b>")
    assert "script" not in text
    assert "onclick" not in text
    assert "<b>ok</b>" in text


def test_mermaid_and_unknown_languages_are_plain() -> None:
    assert "<pre>graph &lt;b&gt;</pre>" in rendered("```mermaid\ngraph <b>\n```")
    assert "&lt;i&gt;" in rendered("```nosuchlanguage\n<i>\n```")


def test_texts_that_are_too_long_or_too_deep_are_shown_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "MOST_MARKDOWN", 10)
    assert rendered("**bold** & more") == "<pre>**bold** &amp; more</pre>"
    monkeypatch.undo()
    assert "x" in rendered(">" * 3000 + "x")
    assert "x" in rendered("- " * 3000 + "x")


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=60)
def test_code_keeps_every_letter(source: str) -> None:
    shown = re.sub(r"<[^>]*>", "", prose.code(source, "python"))
    for escaped, letter in (("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(escaped, letter)
    plain = source.replace("\r\n", "\n").replace("\r", "\n")
    assert shown.rstrip("\n") == prose.clean(plain).rstrip("\n")


def test_code_is_read_in_its_language() -> None:
    assert '<span class="k">def</span>' in prose.code("def f(): pass", "ipython3")
    assert '<span class="k">SELECT</span>' in prose.code("%%sql\nSELECT 1", "python")
    assert prose.code("<b>", "no such language") == "&lt;b&gt;"
    assert prose.code("x" * (prose.MOST_CODE + 1), "python") == "x" * (prose.MOST_CODE + 1)
    assert prose.code("", "python") == ""


def test_terminal_colours_become_classes_and_text_is_escaped() -> None:
    assert prose.terminal("\x1b[31m<b>\x1b[0m") == '<span class="ansi-red-fg">&lt;b&gt;</span>'
    assert prose.terminal("\x1b[38;5;28;01mx\x1b[0m") == '<span class="ansi-bold ansi-green-fg">x</span>'
    assert prose.terminal("\x1b[48;2;250;10;10mx") == '<span class="ansi-red-bg">x</span>'
    assert prose.terminal("\x1b[38;5;240mx") == '<span class="ansi-white-fg">x</span>'
    assert "style" not in prose.terminal("\x1b[38;2;1;2;3;48;5;200mx\x1b[0m")


def test_other_sequences_of_a_terminal_do_nothing() -> None:
    text = "\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b(Bc\x1b[2Kd\x1b[1;1He\x07f\x1bMg\x08"
    assert prose.terminal(text) == "abcdefg"
    assert prose.plain(f"\x1b[1;31m{text}\x1b[0m") == "abcdefg"


@pytest.mark.parametrize("text", ["a\x1b[", "a\x1b[1;", "a\x1b", "a\x1b]0;x"])
def test_sequences_that_are_cut_off_leave_no_escape(text: str) -> None:
    assert prose.terminal(text).startswith("a")
    assert "\x1b" not in prose.terminal(text) + prose.plain(text)


@given(st.text(alphabet="ab<>&\x1b[]m0;3148\r\n\x07\\(?h", max_size=80))
@settings(deadline=None)
def test_any_terminal_text_is_harmless(text: str) -> None:
    shown = prose.terminal(text)
    assert re.fullmatch(r"(?:[^<>\x00-\x08\x0b-\x1f]|</span>|<span class=\"[a-z -]+\">)*", shown)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", prose.plain(text).replace("\r", ""))


def test_progress_bars_keep_their_last_state() -> None:
    assert prose.overwrite("0%\r50%\r100%\ndone\r\nend\r") == "100%\ndone\nend"
    assert prose.overwrite("plain\ntext") == "plain\ntext"


def test_long_text_keeps_head_and_tail_and_says_what_is_missing() -> None:
    text = "".join(f"line {n}\n" for n in range(50_000))
    shown = prose.shorten(text)
    assert len(shown) < prose.HEAD + prose.TAIL + 200
    assert shown.startswith("line 0\nline 1\n")
    assert shown.endswith("line 49999\n")
    (missing,) = re.findall(r"\n\[([\d,]+) characters are not shown on this page; the notebook has them\]\nline", shown)
    notice = shown[shown.index("[") : shown.index("]") + 2]
    assert int(missing.replace(",", "")) == len(text) - (len(shown) - len(notice))
    one_line = prose.shorten("x" * 300_000)
    assert "[200,000 characters" in one_line
    assert prose.shorten("short") == "short"
