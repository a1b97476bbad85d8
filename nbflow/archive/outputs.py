"""The outputs of a cell as markup: of several forms the one that a page without scripts shows best.

Outputs hold data from outside. Texts are escaped, HTML is sanitized; HTML that comes with its own style sheets is shown
in a frame in which nothing runs and from which nothing is fetched. Must not know cells or pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nbflow.archive import palette, prose
from nbflow.archive.sanitize import Clean, picture, sanitize
from nbflow.archive.svg import clean
from nbflow.core.exceptions import exception_text
from nbflow.core.sizes import size
from nbflow.core.values import decode
from nbflow.core.values import plain as plain_value

MOST_HTML = 1_000_000
MOST_MARKDOWN = 10_000
MOST_IMAGE = 20_000_000
"""Characters beyond which a form is left to the notebook. Readers of Markdown are quadratic where the text wants it."""

IMAGES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
INTERACTIVE = re.compile(r"application/(javascript|vnd\.(?!nbflow\.|jupyter\.stdin).*)")
NOTE = Markup('<p class="note">{}</p>')

FRAME_CSS = (
    "html{color-scheme:light;background:#fff;color:#1d1f23;"
    "font:13px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}body{margin:8px}"
    "table{border-collapse:collapse}th,td{padding:4px 8px;text-align:right}img{max-width:100%}"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_OBJECT = re.compile(r"<[\w.]+ (object|at)\b[^>]*>")
"""What Python says of an object that has nothing to say."""
_SELECTOR = re.compile(r"([^{}]+)\{")


@dataclass(slots=True)
class Budget:
    """Characters that one page still reads of its outputs; what is beyond is left to the notebook."""

    html: int = 4 * MOST_HTML
    markdown: int = 4 * MOST_MARKDOWN

    def takes_html(self, size: int) -> bool:
        """True where an output of that size is read; it is counted."""
        taken = size <= min(self.html, MOST_HTML)
        self.html -= size if taken else 0
        return taken

    def takes_markdown(self, size: int) -> bool:
        """The same for Markdown."""
        taken = size <= min(self.markdown, MOST_MARKDOWN)
        self.markdown -= size if taken else 0
        return taken


def show(outputs: Iterable[Mapping[str, Any]], budget: Budget | None = None) -> list[Markup]:
    """The markup of each output of a cell; streams that follow each other are one. `budget` is the page's."""
    left = budget or Budget()
    return [markup for output in _joined(outputs) if (markup := _show(output, left))]


def joined_text(value: object) -> str:
    """A text of a notebook, which may be stored as a list of lines."""
    return "".join(str(line) for line in value) if isinstance(value, list) else str(value)


def value_text(value: object) -> str:
    """A value as people read it: JSON, on one line."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        return str(value)


def _joined(outputs: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    last: dict[str, Any] | None = None
    for output in outputs:
        if output.get("output_type") != "stream":
            if last is not None:
                yield last
            last = None
            yield output
        elif last is not None and last["name"] == output.get("name", "stdout"):
            last["text"] += joined_text(output.get("text", ""))
        else:
            if last is not None:
                yield last
            name, text = output.get("name", "stdout"), joined_text(output.get("text", ""))
            last = {"output_type": "stream", "name": name, "text": text}
    if last is not None:
        yield last


def _show(output: Mapping[str, Any], budget: Budget) -> Markup:
    match output.get("output_type"):
        case "stream":
            kind = "stderr" if output["name"] == "stderr" else "stdout"
            text = prose.terminal(output["text"])
            return _text(text, kind) if text.strip() else Markup()
        case "error":
            lines = output.get("traceback") or [
                exception_text(str(output.get("ename", "")), str(output.get("evalue", "")))
            ]
            return _text(prose.terminal("\n".join(str(line) for line in lines)), "traceback")
        case "display_data" | "execute_result":
            data, metadata = output.get("data"), output.get("metadata")
            facts = metadata if isinstance(metadata, Mapping) else {}
            return _display(data if isinstance(data, Mapping) else {}, facts, budget)
        case _:
            return Markup()


def _text(text: str, kind: str) -> Markup:
    """A text that scrolls where it is long; it can be reached by keys for that."""
    return Markup('<pre class="{}" tabindex="0">{}</pre>').format(kind, text)


def _display(data: Mapping[str, Any], metadata: Mapping[str, Any], budget: Budget) -> Markup:
    """The best form of a display, with a note where a form that needs scripts was left out."""
    reported = [kind for kind in data if kind.startswith("application/vnd.nbflow.")]
    if reported:
        return Markup().join(_reported(kind, data[kind]) for kind in reported)
    html = joined_text(data.get("text/html", ""))
    read = budget.takes_html(len(html))
    safe = sanitize(html) if read else Clean()
    interactive = safe.active or any(INTERACTIVE.fullmatch(kind) for kind in data)
    if safe.filled and not safe.active:
        shown = _html(html, safe)
    else:
        shown = _rich(data, metadata, budget) or (_html(html, safe) if safe.filled else _poor(data, safe))
    if not read:
        shown += NOTE.format(f"An HTML output of {size(len(html))} is in the notebook; this page leaves it out.")
    if interactive:
        shown += NOTE.format("This output is interactive: open the notebook in Jupyter to use it.")
    return shown


def _rich(data: Mapping[str, Any], metadata: Mapping[str, Any], budget: Budget) -> Markup:
    """The best form beside HTML; none where there are only texts."""
    for kind in IMAGES:
        if kind in data:
            return _image(kind, joined_text(data[kind]), metadata.get(kind), joined_text(data.get("text/plain", "")))
    if "text/markdown" in data:
        source = joined_text(data["text/markdown"])
        if not budget.takes_markdown(len(source)):
            return _text(clean(prose.shorten(source)), "stdout")
        return Markup('<div class="prose">{}</div>').format(prose.markdown(source)[0])
    if "text/latex" in data:
        source = clean(joined_text(data["text/latex"])).strip().strip("$").removeprefix("\\displaystyle").strip()
        return Markup('<div class="rich"><code class="tex wide">{}</code></div>').format(prose.shorten(source))
    return Markup()


def _poor(data: Mapping[str, Any], safe: Clean) -> Markup:
    """JSON or plain text, where there is nothing better."""
    if "application/json" in data:
        return _text(clean(prose.shorten(json.dumps(data["application/json"], ensure_ascii=False, indent=2))), "stdout")
    text = joined_text(data.get("text/plain", ""))
    if not text.strip() or (safe.active and _OBJECT.fullmatch(text.strip())):
        return Markup()
    return _text(prose.terminal(text), "stdout")


def _html(html: str, safe: Clean) -> Markup:
    if all(_is_table_style(style) for style in safe.styles):
        look = "rich paper" if safe.coloured else "rich"
        return Markup('<div class="{}" tabindex="0">{}</div>').format(look, Markup(safe.markup))  # noqa: S704
    framed = sanitize(html, framed=True)
    styles = "".join(framed.styles).replace("<", "\\3c ")
    inner = f'<!doctype html><meta charset="utf-8"><style>{FRAME_CSS}{styles}</style>{framed.markup}'
    height = min(480, max(96, 32 + 27 * framed.rows))
    return Markup('<iframe class="paper" sandbox srcdoc="{}" title="HTML output" style="height:{}px"></iframe>').format(
        inner, height
    )


def _is_table_style(style: str) -> bool:
    """True for the style sheets that pandas and polars put before each table: our own serves instead."""
    selectors = [part.strip() for group in _SELECTOR.findall(style) for part in group.split(",")]
    return all(selector.startswith(".dataframe") for selector in selectors)


def _image(kind: str, data: str, metadata: object, text: str) -> Markup:
    if len(data) > MOST_IMAGE:
        return NOTE.format(f"An image of {size(len(data))} is in the notebook; this page leaves it out.")
    packed = "".join(data.split())
    source = picture(data) if kind == "image/svg+xml" else f"data:{kind};base64,{packed}"
    if source is None or (kind != "image/svg+xml" and not _BASE64.fullmatch(packed)):
        return NOTE.format("The image in the notebook cannot be read.")
    facts = metadata if isinstance(metadata, Mapping) else {}
    alt = str(facts.get("alt") or ("Figure" if text.startswith("<") else text[:200]) or "Figure")
    sizes = [
        Markup(' {}="{}"').format(key, facts[key])
        for key in ("width", "height")
        if isinstance(facts.get(key), int | float)
    ]
    look = "image drawn" if kind == "image/svg+xml" else "image"
    return Markup('<div class="{}"><img src="{}" alt="{}"{}></div>').format(look, source, alt, Markup().join(sizes))


def _reported(kind: str, payload: object) -> Markup:
    """What `nbflow.output`, `materialize` and `check` say: a word, a name, a value."""
    what = kind.removeprefix("application/vnd.nbflow.").split(".", 1)[0]
    facts = dict(payload) if isinstance(payload, Mapping) else {"value": payload}
    name = str(facts.pop("name", facts.pop("asset", "")))
    if what == "check":
        passed = bool(facts.get("passed", facts.get("value")))
        state = "ok" if passed else "failed"
        return Markup(
            '<p class="reported t-{}"><svg class="glyph" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">'
            "{}</svg><span>check</span> <b>{}</b> {}</p>"
        ).format(palette.tone(state), Markup(palette.glyph(state)), name, "passed" if passed else "failed")  # noqa: S704
    if set(facts) == {"value"}:
        text = value_text(_readable(facts["value"]))
    else:
        text = ", ".join(f"{key} {value_text(_readable(value))}" for key, value in facts.items())
    return Markup('<p class="reported"><span>{}</span> <b>{}</b> <code>{}</code></p>').format(
        what, clean(name), clean(prose.shorten(text))
    )


def _readable(value: object) -> object:
    try:
        return plain_value(decode(value))
    except (ValueError, TypeError):
        return value
