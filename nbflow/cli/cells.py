"""An executed notebook as text: its code cells, what they printed, their tracebacks.

Reads the archived file as JSON: nbformat would take a second to import. What was too long for it comes from the files
beside it, piece by piece. What is in all of them comes from outside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbflow.archive.words import duration
from nbflow.cli.output import Output
from nbflow.cli.states import look
from nbflow.cli.text import clean, coloured_output, one_line, plain_output
from nbflow.core.exceptions import exception_text
from nbflow.core.overwrite import Overwriter
from nbflow.core.values import decode, plain
from nbflow.errors import NotFoundError, UnreachableError

OURS = "application/vnd.nbflow."
LOOKS = {"killed": "failed", "not_run": "pending"}
"""States of cells that look as another state does."""


def show_notebook(out: Output, path: Path) -> None:
    """All code cells with all that they printed. Raises NotFoundError or UnreachableError where it cannot be read."""
    from nbflow.archive.files import FileArchive
    from nbflow.archive.spools import spool_path, spooled, stream_text

    document = read_executed(path)
    archive = FileArchive(path.parent)
    beside: dict[int, dict[str, Iterator[str]]] = {}
    for one in spooled(document):
        # Where such a file was taken away, the part in the notebook says that it is one.
        if one.is_stream and archive.exists(spool_path(path.name, one.file)):
            beside.setdefault(one.cell, {})[one.output] = stream_text(archive, path.name, one)
    cells = list(_code_cells(document))
    for number, (index, cell) in enumerate(cells, start=1):
        _show(out, cell, f"cell {number}/{len(cells)}", beside.get(index, {}))
    _show_end(out, _facts(document))


def show_failure(out: Output, path: Path) -> None:
    """The cells that failed, of a notebook that may have none, as far as it holds what they printed."""
    cells = list(_code_cells(read_executed(path)))
    for number, (_, cell) in enumerate(cells, start=1):
        if _state(cell) in ("failed", "killed"):
            _show(out, cell, f"cell {number}/{len(cells)}", {})


def read_executed(path: Path) -> Mapping[str, Any]:
    """An archived notebook. Raises NotFoundError where there is none, UnreachableError where it is none."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            f"the archive has no file {path}", hint="it has been moved or removed since it was written"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreachableError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise UnreachableError(f"{path} is not a notebook")
    return document


def _code_cells(document: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The code cells with their indices among all cells."""
    cells = document.get("cells")
    for index, cell in enumerate(cells if isinstance(cells, list) else ()):
        if isinstance(cell, Mapping) and cell.get("cell_type") == "code":
            yield index, cell


def _state(cell: Mapping[str, Any]) -> str:
    return str(_facts(cell).get("state", "ok"))


def _facts(noted: Mapping[str, Any]) -> Mapping[str, Any]:
    """What nbflow noted of a cell, or of a notebook; nothing where somebody else made the file."""
    metadata = noted.get("metadata")
    facts = metadata.get("nbflow") if isinstance(metadata, Mapping) else None
    return facts if isinstance(facts, Mapping) else {}


def _show(out: Output, cell: Mapping[str, Any], place: str, beside: Mapping[str, Iterable[str]]) -> None:
    """One cell; `beside` are the whole texts of streams that the notebook only holds a part of."""
    state = _state(cell)
    seen = look(LOOKS.get(state, state))
    seconds = _facts(cell).get("duration")
    took = f"  {duration(seconds)}" if isinstance(seconds, int | float) else ""
    word = one_line(state.replace("_", " "))
    out.line(f"{out.paint(out.glyph(seen), seen.style)} {out.paint(place, 'bold')}  {word}{took}")
    for line in clean(_text(cell.get("source"))).rstrip("\n").split("\n"):
        out.line(out.paint(f"  {'│' if out.unicode else '|'} {line}".rstrip(), "dim"))
    outputs = cell.get("outputs")
    whole = dict(beside)
    for output in outputs if isinstance(outputs, Sequence) else ():
        if not isinstance(output, Mapping):
            continue
        name = output.get("name") if output.get("output_type") == "stream" else None
        if not isinstance(name, str) or name not in beside:
            _show_text(out, [_printed(output)])
        elif name in whole:
            _show_text(out, whole.pop(name))
    for text in whole.values():
        _show_text(out, text)
    out.line()


def _show_end(out: Output, about: Mapping[str, Any]) -> None:
    """What no cell tells: how the attempt failed where no exception says so, and what is odd about it."""
    error, warnings = about.get("error"), about.get("warnings")
    if isinstance(error, Mapping) and error.get("kind") != "exception":
        mark = out.paint(out.glyph(look("failed")), look("failed").style)
        text = f"{error.get('kind')}: {error.get('message')}"
        out.line(f"{mark} {one_line(text)}")
    for warning in warnings if isinstance(warnings, list) else ():
        out.line(f"{out.paint(out.glyph(look('warn')), look('warn').style)} {one_line(str(warning))}")


def _show_text(out: Output, pieces: Iterable[str]) -> None:
    """A text as a terminal would have left it, and the end of its last line."""
    show = coloured_output if out.colour else plain_output
    overwriter = Overwriter()
    in_line = False
    for piece in pieces:
        if final := overwriter.feed(piece):
            out.write(show(final))
            in_line = not final.endswith("\n")
    if (final := overwriter.close()) or in_line:
        out.line(show(final))


def _printed(output: Mapping[str, Any]) -> str:
    """What an output says in text; what cannot be said so is named by its type."""
    match output.get("output_type"):
        case "stream":
            return _text(output.get("text"))
        case "error":
            lines = output.get("traceback")
            text = "\n".join(str(line) for line in lines) if isinstance(lines, list) else ""
            return text or exception_text(str(output.get("ename", "")), str(output.get("evalue", "")))
        case _:
            data = output.get("data")
            return _displayed(data) if isinstance(data, Mapping) else ""


def _displayed(data: Mapping[str, Any]) -> str:
    ours = [_marker(kind.removeprefix(OURS), value) for kind, value in data.items() if kind.startswith(OURS)]
    if ours:
        return "\n".join(ours)
    if "text/plain" in data:
        return _text(data["text/plain"])
    return f"[{', '.join(data)}]"


def _marker(kind: str, value: Any) -> str:
    """What a notebook told nbflow; an output as people write it where it is one."""
    if kind == "output.v1+json" and isinstance(value, Mapping) and {"name", "value"} <= value.keys():
        try:
            shown = json.dumps(plain(decode(value["value"])), ensure_ascii=False)
        except ValueError:
            pass
        else:
            return f"output {value['name']} = {shown}"
    return f"[{kind}] {json.dumps(value)}"


def _text(value: Any) -> str:
    """A text of nbformat: one string, or a list of its lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
