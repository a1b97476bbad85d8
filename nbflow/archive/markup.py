"""HTML read token by token, in time linear in its length whatever it holds.

html.parser needs minutes for 60 KB of `<a `, so what data from outside may hold is read here. The tokens are those that
a browser finds in ordinary markup; nothing depends on their being the same in odd markup, because the reader
writes its own. Must not judge what is harmless.
"""

from __future__ import annotations

import html
import re
from collections.abc import Generator, Iterator, Mapping

RAW = frozenset({"iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp"})
"""Elements whose inside is no markup; they go with it."""

_OPEN = re.compile(r"<([a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)?))?""")
_CLOSE = re.compile(r"[\s/]*+>")
_UNCLOSED = re.compile(r"""[\s/]*+[^\s/>][^\s/>=]*+\s*+=\s*+["']""")
_SVG = re.compile(r"<(/?)svg\b", re.IGNORECASE)

Token = tuple[str, str, Mapping[str, str]]
"""(`text` | `start` | `end` | `svg` | `style`, text or name, attributes)."""


def tokens(text: str) -> Iterator[Token]:
    """Tags and texts. An unclosed tag or comment swallows the rest, as in a browser."""
    at = 0
    while at < len(text):
        less = text.find("<", at)
        if less < 0:
            less = len(text)
        if less > at:
            yield "text", html.unescape(text[at:less]), {}
        if less == len(text):
            return
        at = less
        following = text[at + 1 : at + 2]
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
            at = end + 3 if end >= 0 else len(text)
        elif following in {"!", "?"} or (following == "/" and text[at + 2 : at + 3].isalpha()):
            end = text.find(">", at)
            if end >= 0 and following == "/":
                yield "end", re.split(r"[\s/>]", text[at + 2 : end], maxsplit=1)[0].lower(), {}
            at = end + 1 if end >= 0 else len(text)
        elif (found := _OPEN.match(text, at)) is not None:
            name = found[1].lower()
            attributes, end = _attributes(text, found.end())
            if end < 0:
                return
            yield "start", name, attributes
            at = yield from _inside(text, name, at, end)
        else:
            yield "text", "<", {}
            at += 1


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """Attributes of a tag, the first of each name, and where the tag ends; -1 where it does not."""
    attributes: dict[str, str] = {}
    while True:
        if (closed := _CLOSE.match(text, at)) is not None:
            return attributes, closed.end()
        found = _ATTRIBUTE.match(text, at)
        if found is None or (_UNCLOSED.match(text, at) and found[2] is None and found[3] is None):
            return attributes, -1
        value = next((group for group in found.group(2, 3, 4) if group is not None), "")
        if len(attributes) < 64:
            attributes.setdefault(found[1].lower(), html.unescape(value))
        at = found.end()


def _inside(text: str, name: str, start: int, at: int) -> Generator[Token, None, int]:
    """What follows a start tag that has no ordinary inside; where reading goes on."""
    if name in RAW:
        end = re.compile(rf"</{name}[\s/>]", re.IGNORECASE).search(text, at)
        stop = end.start() if end else len(text)
        if name == "style":
            yield "style", text[at:stop], {}
        return stop
    if name == "svg" and not text.endswith("/>", start, at):
        depth = 1
        for tag in _SVG.finditer(text, at):
            depth += -1 if tag[1] else 1
            if depth == 0:
                stop = text.find(">", tag.end())
                stop = stop + 1 if stop >= 0 else len(text)
                yield "svg", text[start:stop], {}
                return stop
        return len(text)
    return at
