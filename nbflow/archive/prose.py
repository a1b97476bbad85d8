"""Markdown, code and terminal text of a notebook as markup for a page. Must not know cells or pages.

nbconvert does the reading (its Markdown with mathematics, its terminal colours); all that comes of Markdown is
sanitized. nbconvert takes a second to import, so it is imported on first use.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from nbflow.archive.sanitize import sanitize
from nbflow.archive.svg import clean, escape

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MOST_MARKDOWN = 400_000
MOST_CODE = 100_000
"""Characters beyond which a text is shown plainly, without being read."""
HEAD, TAIL = 60_000, 40_000
"""Characters of a long text that a page shows from its beginning and from its end."""

_HEADING = re.compile(r"<h([1-6])([^>]*)>(.*?)</h\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_SEQUENCE = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]+[0-~]|[0-Z\\^_`a-~])")
"""Escape sequences of a terminal other than CSI: titles, links, character sets."""
_COLOUR = re.compile(r"\x1b\[[0-9;:?<=>]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]|\x1b(?!\[)")
_STYLED = re.compile(r'<span(?: class="([^"]*)")? style="([^"]*)">')
_RGB = re.compile(r"(background-)?color: rgb\((\d+),(\d+),(\d+)\)")
_MAGIC = re.compile(r"\s*%%(\w+)")
_LANGUAGES = {"R": "r", "bash": "bash", "html": "html", "javascript": "js", "js": "js", "latex": "tex", "perl": "perl"}
_LANGUAGES |= {"python": "python", "ruby": "ruby", "script": "bash", "sh": "bash", "sql": "sql", "cython": "cython"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading of a notebook and the identifier to link to."""

    level: int
    text: str
    anchor: str


def markdown(
    source: str, attachments: Mapping[str, Any] | None = None, taken: set[str] | None = None
) -> tuple[Markup, list[Heading]]:
    """Markdown as harmless markup, and its headings. `taken` holds identifiers in use and gets the new ones."""
    if len(source) > MOST_MARKDOWN:
        return Markup("<pre>{}</pre>").format(clean(source)), []
    render, renderer = _markdown()
    try:
        markup = sanitize(render(renderer=renderer(escape=False, attachments=dict(attachments or {}))).render(source))
    except RecursionError:
        return Markup("<pre>{}</pre>").format(clean(source)), []
    headings: list[Heading] = []
    used = taken if taken is not None else set()

    def anchored(found: re.Match[str]) -> str:
        text = " ".join(unescape(_TAG.sub("", found[3])).split())
        heading = Heading(level=int(found[1]), text=text, anchor=_anchor(text, used))
        headings.append(heading)
        return f'<h{found[1]} id="{escape(heading.anchor)}"{found[2]}>{found[3]}</h{found[1]}>'

    return Markup(_HEADING.sub(anchored, markup.markup)), headings  # noqa: S704 - sanitized above


def code(source: str, language: str) -> Markup:
    """Source with its parts marked for a style sheet (the short classes of Pygments)."""
    source = clean(source)
    if len(source) > MOST_CODE:
        return Markup.escape(source)
    from pygments import highlight

    magic = _MAGIC.match(source)
    lexer = _lexer(_LANGUAGES.get(magic[1], language) if magic else language)
    return Markup(highlight(source, lexer, _formatter()).rstrip("\n"))  # noqa: S704 - it escapes


@lru_cache(maxsize=1)
def _formatter() -> Any:
    """One for all cells: to make one takes longer than to use it."""
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True)


def terminal(text: str) -> Markup:
    """What a terminal would show: lines overwritten by carriage returns are gone, colours are markup."""
    shown = _CONTROL.sub("", _SEQUENCE.sub("", shorten(overwrite(text))))
    if "\x1b" not in shown:
        return Markup.escape(clean(shown))
    from nbconvert.filters.ansi import ansi2html

    convert: Callable[[str], str] = ansi2html
    kept = "\x1b[".join(clean(part) for part in shown.split("\x1b["))
    return Markup(_STYLED.sub(_classes, convert(kept)).replace("\x1b", ""))  # noqa: S704 - it escapes


def _classes(found: re.Match[str]) -> str:
    """Exact colours as the named ones nearest to them, which the style sheet keeps readable on light and on dark."""
    classes = [found[1]] if found[1] else []
    for ground, red, green, blue in _RGB.findall(found[2]):
        classes.append(f"ansi-{_hue(int(red), int(green), int(blue))}-{'bg' if ground else 'fg'}")
    return f'<span class="{" ".join(classes)}">'


def _hue(red: int, green: int, blue: int) -> str:
    hue, light, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    if saturation < 0.25:
        return "black" if light < 0.3 else "white"
    return ("red", "yellow", "green", "cyan", "blue", "magenta")[round(hue * 6) % 6]


def plain(text: str) -> str:
    """Terminal text without colours and control characters, for a banner."""
    return clean(_CONTROL.sub("", _COLOUR.sub("", _SEQUENCE.sub("", text))))


def overwrite(text: str) -> str:
    """Text after its carriage returns: of a progress bar the last state stays."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


def shorten(text: str) -> str:
    """The beginning and the end of a long text, cut at lines where they are near, and what is missing between."""
    if len(text) <= HEAD + TAIL:
        return text
    head = text[: text.rfind("\n", HEAD - 2000, HEAD) + 1 or HEAD]
    start = text.find("\n", len(text) - TAIL, len(text) - TAIL + 2000) + 1 or len(text) - TAIL
    missing = start - len(head)
    joint = "" if head.endswith("\n") else "\n"
    return f"{head}{joint}[{missing:,} characters are not shown on this page; the notebook has them]\n{text[start:]}"


def _anchor(text: str, used: set[str]) -> str:
    base = "h-" + "-".join(text.split())[:80]
    anchor, number = base, 1
    while anchor in used:
        number += 1
        anchor = f"{base}-{number}"
    used.add(anchor)
    return anchor


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer:
    from pygments.lexers import get_lexer_by_name
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    name = "python" if language.startswith("ipython") else language
    try:
        return get_lexer_by_name(name, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)


@lru_cache(maxsize=1)
def _markdown() -> tuple[Any, Any]:
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath

    class PageRenderer(IPythonRenderer):
        """Mathematics stays as TeX in its own element; a picture that is not attached gives its name."""

        def heading(self, text: str, level: int, **_: Any) -> str:
            return f"<h{level}>{text}</h{level}>\n"

        def block_math(self, body: str) -> str:
            return f'<code class="tex wide">{escape(body.strip())}</code>'

        def inline_math(self, body: str) -> str:
            return f'<code class="tex">{escape(body)}</code>'

        def latex_environment(self, name: str, body: str) -> str:
            return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

        def block_mermaidjs(self, code: str) -> str:
            return f"<pre>{escape(code.strip())}</pre>"

        def task_list_item(self, text: str, checked: bool = False) -> str:
            return f'<li class="todo">{"☑" if checked else "☐"} {text}</li>\n'

        def image(self, text: str, url: str, title: str | None = None) -> str:
            try:
                return str(super().image(text, url, title))
            except (InvalidNotebook, StopIteration):
                return f'<img alt="{escape(text or url)}">'

    return MarkdownWithMath, PageRenderer
