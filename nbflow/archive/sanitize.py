"""HTML that a notebook's outputs hold, made harmless: what data from outside may put on a page of ours.

The text is never repaired and passed on: it is read token by token, and what the lists below allow is written anew,
balanced, with every text and attribute escaped. Scripts, frames, forms, addresses that a browser would fetch, styles
that reach out and identifiers are not on the lists. The page forbids scripts and remote addresses besides, by its
content security policy; this module is the other wall.

Must not know notebooks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from nbflow.archive.markup import tokens
from nbflow.archive.svg import clean, escape

DEEPEST = 80
"""Elements deeper than this lose their tags and keep their text: browsers, too, end nesting somewhere."""

VOID = frozenset({"br", "col", "hr", "img", "input", "wbr"})
_PHRASES = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q", "s"}
    | {"samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var"}
)
_BLOCKS = frozenset(
    {"address", "blockquote", "center", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "h1", "h2", "h3"}
    | {"h4", "h5", "h6", "li", "ol", "p", "pre", "section", "summary", "ul"}
    | {"caption", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
)
ALLOWED = _PHRASES | _BLOCKS | (VOID - {"input"})
FRAMED = ALLOWED | {"input", "label"}
"""In a sandboxed frame also switches, which style sheets fold things with."""
GONE = frozenset({"applet", "audio", "canvas", "math", "object", "select", "template", "video"})
"""Elements that go with all that is in them."""
ACTIVE = frozenset({"applet", "audio", "canvas", "embed", "iframe", "object", "script", "video"})
"""Elements that mean something only where scripts or frames work."""
_LINES = frozenset({"br", "dd", "details", "dt", "h1", "h2", "h3", "h4", "hr", "li", "p", "pre", "tr"})
_ITEMS = {"li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}}
"""Elements that end an open one of these kinds, as browsers read them."""
_STOPS = _BLOCKS - {"address", "div", "p"}
"""Elements beyond which nothing is ended so."""

ATTRIBUTES = {
    "": frozenset({"align", "class", "dir", "lang", "style", "title", "valign"}),
    "a": frozenset({"href"}),
    "abbr": frozenset({"title"}),
    "col": frozenset({"span", "width"}),
    "colgroup": frozenset({"span"}),
    "details": frozenset({"open"}),
    "img": frozenset({"alt", "height", "src", "width"}),
    "input": frozenset({"checked", "disabled", "type"}),
    "label": frozenset({"for"}),
    "ol": frozenset({"reversed", "start", "type"}),
    "table": frozenset({"width"}),
    "td": frozenset({"colspan", "height", "rowspan", "width"}),
    "th": frozenset({"colspan", "height", "rowspan", "scope", "width"}),
    "time": frozenset({"datetime"}),
}
"""Element -> attributes; `""` stands for all elements."""

_CLASS = re.compile(r"dataframe|highlight|tex|todo|[a-z]{1,3}[0-9]?")
"""Classes that our own style sheet knows in foreign markup: pandas, and the short ones of Pygments."""
_FRAME_CLASS = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SIZE = re.compile(r"[0-9]{1,4}(\.[0-9]+)?(px|%|em|rem)?")
_LINK = re.compile(r"(https?://|mailto:)[^\s]", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|bmp|svg\+xml);base64,[A-Za-z0-9+/=\s]+")
_PROPERTIES = frozenset(
    {
        "background",
        "background-color",
        "border",
        "border-bottom",
        "border-bottom-color",
        "border-collapse",
        "border-color",
        "border-left",
        "border-left-color",
        "border-radius",
        "border-right",
        "border-right-color",
        "border-spacing",
        "border-style",
        "border-top",
        "border-top-color",
        "border-width",
        "caption-side",
        "clear",
        "color",
        "display",
        "float",
        "font",
        "font-family",
        "font-size",
        "font-style",
        "font-variant",
        "font-weight",
        "height",
        "letter-spacing",
        "line-height",
        "list-style-type",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-height",
        "max-width",
        "min-height",
        "min-width",
        "opacity",
        "overflow",
        "overflow-x",
        "overflow-y",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "table-layout",
        "text-align",
        "text-decoration",
        "text-indent",
        "text-overflow",
        "text-transform",
        "vertical-align",
        "white-space",
        "width",
        "word-break",
        "word-spacing",
    }
)
_VALUE = re.compile(r"""[\w\s#%.,()+*/'"!-]*""")
_FETCHED = re.compile(r"@import|@font-face|(?<![\w-])(url|src)\(\s*[\"']?(?!data:)|image-set\(", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_CALL = re.compile(r"([\w-]+)\s*\(")
_CALLS = frozenset({"calc", "hsl", "hsla", "linear-gradient", "max", "min", "rgb", "rgba"})


@dataclass(slots=True)
class Clean:
    """Harmless markup, and what was found on the way.

    `styles` are style sheets (they fetch nothing, but paint where they like: for a sandboxed frame only), `active`
    tells that scripts or the like were taken out, `coloured` that inline styles set colours, `filled` that something
    is there to be seen. `rows` counts lines and table rows outside of what is folded.
    """

    markup: str = ""
    styles: list[str] = field(default_factory=list)
    active: bool = False
    coloured: bool = False
    filled: bool = False
    rows: int = 0


def sanitize(text: str, *, framed: bool = False) -> Clean:
    """Make HTML harmless. `framed` keeps classes and identifiers, which style sheets in a frame need."""
    writer = _Writer(framed)
    for kind, name, attributes in tokens(text):
        writer.take(kind, name, attributes)
    return writer.finish()


def picture(svg: str) -> str | None:
    """A drawing as an image of its own (data URI), in which nothing runs or is fetched; None where it is malformed."""
    if re.search(r"<!(DOCTYPE|ENTITY)", svg, re.IGNORECASE):
        return None
    head = svg.split(">", 1)[0]
    for prefix, space in (("xmlns", "2000/svg"), ("xmlns:xlink", "1999/xlink")):
        if f"{prefix}=" not in head and (prefix == "xmlns" or "xlink:" in svg):
            svg = re.sub(r"<svg\b", f'<svg {prefix}="http://www.w3.org/{space}"', svg, count=1, flags=re.IGNORECASE)
    data = clean(svg).encode()
    try:
        expat.ParserCreate().Parse(data, True)
    except expat.ExpatError:
        return None
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"


def contained(css: str) -> str:
    """A style sheet without what a browser would fetch; the empty one where that hides behind escapes."""
    css = _FETCHED.sub("none(", css)
    return "" if _FETCHED.search(_ESCAPE.sub(_unescaped, css)) else css


def _unescaped(found: re.Match[str]) -> str:
    return chr(min(int(found[1], 16), 0x10FFFF)) if found[1] else found[2]


class _Writer:
    """Writes what is allowed, balanced, and keeps count of what was not."""

    def __init__(self, framed: bool) -> None:
        self.framed = framed
        self.out: list[str] = []
        self.open: list[str] = []
        self.gone: list[str] = []
        self.clean = Clean()

    def take(self, kind: str, name: str, attributes: Mapping[str, str]) -> None:
        if kind == "style":
            self.clean.styles.append(contained(name))
        elif kind == "svg" and not self.gone:
            self._draw(name)
        elif kind == "start":
            self._start(name, attributes)
        elif kind == "end":
            self._end(name)
        elif kind == "text" and not self.gone:
            self.out.append(escape(name))
            self.clean.filled = self.clean.filled or not name.isspace()

    def finish(self) -> Clean:
        self._close_to(0)
        self.clean.markup = "".join(self.out)
        return self.clean

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.clean.active = self.clean.active or name in ACTIVE
        if name in GONE:
            self.gone.append(name)
        if self.gone or name not in (FRAMED if self.framed else ALLOWED) or len(self.open) >= DEEPEST:
            return
        if name == "input" and attributes.get("type", "").lower() not in {"checkbox", "radio"}:
            return
        self._end_implied(name)
        if name == "img":
            self._image(attributes)
            return
        if name in _LINES and "details" not in self.open:
            self.clean.rows += 1
        self.out.append(f"<{name}{''.join(self._attributes(name, attributes))}>")
        if name not in VOID:
            self.open.append(name)

    def _end(self, name: str) -> None:
        if self.gone:
            if name == self.gone[-1]:
                self.gone.pop()
        elif name in self.open:
            place = len(self.open) - 1 - self.open[::-1].index(name)
            self._close_to(place)

    def _end_implied(self, name: str) -> None:
        """End an open list item where a browser would, so that our end tags are the ones that it sees."""
        ended = _ITEMS.get(name, set())
        for place in range(len(self.open) - 1, -1, -1) if ended else ():
            if self.open[place] in ended:
                self._close_to(place)
            if place >= len(self.open) or self.open[place] in _STOPS:
                return

    def _close_to(self, depth: int) -> None:
        while len(self.open) > depth:
            self.out.append(f"</{self.open.pop()}>")

    def _attributes(self, name: str, attributes: Mapping[str, str]) -> Iterator[str]:
        allowed = ATTRIBUTES[""] | ATTRIBUTES.get(name, frozenset())
        for key in sorted(attributes):
            value = self._value(key, attributes[key]) if key in allowed or (self.framed and key == "id") else None
            if value is not None:
                yield f' {key}="{escape(value)}"'
        if name == "a":
            yield ' rel="noopener noreferrer"'

    def _value(self, key: str, value: str) -> str | None:
        """An attribute's value where it is harmless, else None."""
        match key:
            case "style":
                return self._style(value)
            case "class" | "id" | "for":
                pattern = _FRAME_CLASS if self.framed else _CLASS
                return " ".join(word for word in value.split() if pattern.fullmatch(word)) or None
            case "href":
                if value.startswith("#"):
                    return None if self.framed else f"#h-{value[1:]}"
                return value if _LINK.match(value) else None
            case "width" | "height" | "colspan" | "rowspan" | "span" | "start":
                return value if _SIZE.fullmatch(value) else None
            case _:
                return value

    def _style(self, value: str) -> str | None:
        kept = []
        for part in value[:4000].split(";"):
            name, _, rule = part.partition(":")
            name, rule = name.strip().lower(), rule.strip()
            calls = {call.lower() for call in _CALL.findall(rule)}
            if name in _PROPERTIES and rule and _VALUE.fullmatch(rule) and calls <= _CALLS:
                kept.append(f"{name}:{rule}")
                self.clean.coloured = self.clean.coloured or "color" in name or name.startswith("background")
        return ";".join(kept) or None

    def _image(self, attributes: Mapping[str, str]) -> None:
        """A picture that is in the text itself; for any other, what it would have been."""
        self.clean.filled = True
        source, alt = attributes.get("src", "").strip(), attributes.get("alt", "")
        if _PICTURE.fullmatch(source):
            sizes = [
                f' {key}="{attributes[key]}"'
                for key in ("width", "height")
                if key in attributes and _SIZE.fullmatch(attributes[key])
            ]
            self.out.append(f'<img src="{escape(source)}" alt="{escape(alt)}"{"".join(sizes)}>')
        else:
            where = source if len(source) <= 120 and not source.startswith("data:") else ""
            words = ": ".join(part for part in ("image not kept in the notebook", alt or where) if part)
            self.out.append(f'<span class="nofile">{escape(words)}</span>')

    def _draw(self, svg: str) -> None:
        source = picture(svg)
        self.clean.filled = True
        if source is not None:
            self.out.append(f'<img src="{source}" alt="drawing">')
