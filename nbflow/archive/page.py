"""An executed notebook as one HTML page that reads well, needs no server and can do no harm.

All is in the file: no address is fetched, no script runs (`render.POLICY`). Facts come from the notebook's own `nbflow`
metadata. Must not read or write files; links are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from nbflow.archive import outputs, palette, prose, widgets
from nbflow.archive.outputs import Budget, joined_text, value_text
from nbflow.archive.prose import Heading
from nbflow.archive.render import render
from nbflow.archive.spools import spool_path, spooled
from nbflow.archive.svg import clean
from nbflow.archive.words import clock, count, day, duration, moment, usage
from nbflow.core.spec import EMPTY

ERROR_WORDS = {
    "timeout": "Timed out",
    "kernel_died": "The kernel died",
    "start_failed": "The kernel did not start",
    "archive": "The archive could not be written",
    "exited": "Exited",
    "lost": "The attempt was lost",
}
"""What people read for an error without a name of its own."""

LONGEST_MESSAGE = 4000
FEWEST_HEADINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A place to go to from a page, relative to it."""

    label: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """An error as a banner shows it. `where` is the anchor of its cell."""

    name: str
    message: str
    where: str | None = None
    cell: str | None = None


@dataclass(slots=True, kw_only=True)
class CellView:
    """A cell as the template shows it; `files` hold what was too long for its outputs, `note` stands below it."""

    kind: str
    anchor: str
    body: Markup
    outputs: list[Markup] = field(default_factory=list)
    files: list[Link] = field(default_factory=list)
    state: str | None = None
    count: str = ""
    took: str = ""
    used: str = ""
    lines: int = 0
    injected: bool = False
    failed: bool = False
    note: str = ""


def notebook_page(
    document: Mapping[str, Any],
    *,
    title: str,
    links: Sequence[Link] = (),
    facts: Mapping[str, str] = EMPTY,
    notebook: str | None = None,
    timezone: str = "UTC",
) -> str:
    """The page of a notebook document (nbformat 4, as a dict).

    `links` lead from the project down to this page (breadcrumbs), `facts` are further lines of the header, `notebook`
    is the relative address of the `.ipynb`, `timezone` (IANA) the zone in which instants are shown.
    """
    about = _mapping(_mapping(document.get("metadata")).get("nbflow"))
    zone = ZoneInfo(timezone)
    error = _mapping(about.get("error"))
    cells, headings = _cells(document, error, about.get("stopped_at"))
    for one in spooled(document) if notebook else ():
        if one.cell < len(cells):
            link = Link(label=clean(one.output), href=spool_path(clean(notebook or ""), clean(one.file)))
            cells[one.cell].files.append(link)
    return render(
        "notebook.html.j2",
        title=clean(title),
        links=links,
        notebook=notebook,
        state=about.get("state"),
        error=error_view(error, _anchor_of(cells, error), *_number(cells)) if error else None,
        facts=[*_facts(about, zone), *facts.items()],
        parameters=values(about.get("parameters")),
        results=values(about.get("outputs")),
        environment=values(environment_rows(_mapping(about.get("environment")))),
        warnings=[clean(str(warning)) for warning in about.get("warnings") or ()],
        cells=cells,
        headings=headings if len(headings) >= FEWEST_HEADINGS else [],
        counts=_counts(cells),
    )


def error_view(error: Mapping[str, Any], where: str | None, number: int = 0, total: int = 0) -> ErrorView:
    """The banner of an error document (`kind`, `message`, `cell`, `ename`, `signal`).

    `number` counts the failed cell from 1 over the `total` code cells, as people and the command line count them.
    """
    name = str(error.get("ename") or ERROR_WORDS.get(str(error.get("kind")), "Failed"))
    if error.get("signal") and not error.get("ename"):
        name += f" (signal {error['signal']})"
    message = prose.plain(str(error.get("message") or "")).strip()
    message = message.removeprefix(f"{name}: ")
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "…"
    cell = f"cell {number} of {total}" if number and isinstance(error.get("cell"), int) else None
    return ErrorView(name=clean(name), message=message, where=where, cell=cell)


def values(found: object) -> list[tuple[str, str]]:
    """Rows of a table of names and values; texts are shown without quotes."""
    shown = [(name, value if isinstance(value, str) else value_text(value)) for name, value in _mapping(found).items()]
    return [(clean(str(name)), clean(prose.shorten(text))) for name, text in shown]


def environment_rows(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a notebook as people read it: packages as one line of names and versions."""
    found = dict(environment)
    packages, changed = _mapping(found.pop("packages", None)), _mapping(found.pop("packages_changed", None))
    if packages:
        found["packages"] = ", ".join(f"{name} {version}" for name, version in packages.items())
    if changed:
        found["packages changed"] = ", ".join(f"{name} {_versions(pair)}" for name, pair in changed.items())
    return found


def _versions(pair: object) -> str:
    return " -> ".join(str(one or "none") for one in pair) if isinstance(pair, list | tuple) else str(pair)


def _cells(
    document: Mapping[str, Any], error: Mapping[str, Any], stopped_at: object
) -> tuple[list[CellView], list[Heading]]:
    language = _language(document)
    headings: list[Heading] = []
    taken: set[str] = set()
    views = []
    budget = Budget()
    models = widgets.states(document)
    failed = error.get("cell")
    for index, cell in enumerate(document.get("cells") or ()):
        source = joined_text(cell.get("source", ""))
        match cell.get("cell_type"):
            case "code":
                shown = outputs.show(widgets.unfold(cell.get("outputs") or (), models), budget)
                views.append(_code_cell(cell, source, index, language, shown))
            case "markdown":
                body, found = prose.markdown(source, _mapping(cell.get("attachments")), taken)
                headings += found
                views.append(CellView(kind="markdown", anchor=f"cell-{index + 1}", body=body))
            case _:
                views.append(CellView(kind="raw", anchor=f"cell-{index + 1}", body=Markup.escape(clean(source))))
    broken = next((n for n, view in enumerate(views) if n == failed or (failed is None and _broke(view))), None)
    if broken is not None and error:
        views[broken].failed = True
        left = sum(view.state == "not_run" for view in views[broken:])
        if left:
            views[broken].note = f"The notebook stopped here: {count(left, 'cell')} below did not run."
    elif isinstance(stopped_at, int) and stopped_at < len(views):
        views[stopped_at].note = "The notebook ended here on purpose (exit without an error)."
    return views, headings


def _broke(view: CellView) -> bool:
    return view.state in {"failed", "killed"}


def _code_cell(cell: Mapping[str, Any], source: str, index: int, language: str, shown: list[Markup]) -> CellView:
    metadata = _mapping(cell.get("metadata"))
    about = _mapping(metadata.get("nbflow"))
    number = cell.get("execution_count")
    return CellView(
        kind="code",
        anchor=f"cell-{index + 1}",
        body=prose.code(source, language),
        outputs=shown,
        state=about.get("state") if about.get("state") in palette.STATES else None,
        count=str(number) if isinstance(number, int) else " ",
        took=_took(about),
        used=usage(about.get("cpu_seconds"), about.get("peak_memory")),
        lines=source.count("\n") + 1 if source else 0,
        injected="injected-parameters" in (metadata.get("tags") or ()),
    )


def _took(about: Mapping[str, Any]) -> str:
    """A duration: measured where it was, else from the instants."""
    seconds = about.get("duration")
    if not isinstance(seconds, int | float):
        start, end = moment(about.get("start")), moment(about.get("end"))
        if start is None or end is None:
            return ""
        seconds = (end - start).total_seconds()
    return duration(seconds)


def _number(cells: list[CellView]) -> tuple[int, int]:
    """Which of the code cells failed, from 1, and how many there are; 0 for none."""
    code = [cell.failed for cell in cells if cell.kind == "code"]
    return code.index(True) + 1 if True in code else 0, len(code)


def _anchor_of(cells: list[CellView], error: Mapping[str, Any]) -> str | None:
    return "failed" if error and any(cell.failed for cell in cells) else None


def _facts(about: Mapping[str, Any], zone: tzinfo) -> list[tuple[str, str]]:
    """Lines of the header, those that are known."""
    environment = _mapping(about.get("environment"))
    started, logical = moment(about.get("started")), moment(about.get("logical_date"))
    facts = [
        ("Run", about.get("run")),
        ("Attempt", about.get("attempt")),
        ("Logical date", day(logical, zone) if logical else None),
        ("Started", clock(started, zone) if started else None),
        ("Duration", _took({**about, "start": about.get("started"), "end": about.get("ended")})),
        ("Used", usage(about.get("cpu_seconds"), about.get("peak_memory"))),
        ("Kernel", environment.get("kernel_version") or environment.get("kernel")),
    ]
    return [(name, clean(str(value))) for name, value in facts if value is not None and value != ""]


def _counts(cells: list[CellView]) -> list[tuple[str, int]]:
    """Code cells by state, what failed first."""
    return palette.told(cell.state for cell in cells if cell.kind == "code")


def _language(document: Mapping[str, Any]) -> str:
    metadata = _mapping(document.get("metadata"))
    info, spec = _mapping(metadata.get("language_info")), _mapping(metadata.get("kernelspec"))
    found = info.get("pygments_lexer") or info.get("name") or spec.get("language") or "python"
    if isinstance(found, Mapping):
        # CodeMirror's way of naming a mode; older kernels put it here.
        found = found.get("name", "python")
    return str(found)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else EMPTY
