"""A first `pipelines.toml` for a folder of notebooks: `initial_file(folder)` gives the text, and writes nothing.

The text is a start for a person to edit, so it says in comments what it had to guess or to leave out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from nbflow.config.keys import RESERVED_PIPELINES, RESERVED_TASKS
from nbflow.config.notebooks import read_notebook
from nbflow.config.toml import toml_text, toml_value
from nbflow.core.contract import Contract, Declared, read_contract
from nbflow.core.expr import is_template
from nbflow.core.faults import name_fault
from nbflow.core.params import check_value, infer_type, is_name
from nbflow.core.spec import ParamType

FOLDER = "notebooks"
"""The folder that paths of notebooks start from, where there is one."""
MAX_DEFAULT = 200
"""Characters of a default that is written into the file; a longer one stays in its notebook."""

_NUMBER = re.compile(r"(\d{1,9})[\s._-]*")
_UNNUMBERED = (
    "# File names say no order, so the tasks run in that of the alphabet. Where that is wrong, change `needs`.\n"
)
_STARTER = """\
# `nbflow run {name}` runs these two notebooks; `nbflow run {name} -p count=20` gives them another value.

[pipelines.{name}.params]
count = 10                            # every notebook that declares `count` in its `parameters` cell gets it

[pipelines.{name}.tasks]
extract = {{ notebook = "extract.ipynb" }}
report = {{ notebook = "report.ipynb", needs = ["extract"] }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notebook:
    """A notebook that can run. `number` is what its name begins with; `title` the rest of it."""

    path: str
    number: int | None
    title: str
    contract: Contract
    kernel: str | None


def initial_file(folder: Path) -> str:
    """The text of a `pipelines.toml` that runs the notebooks of a folder, or else those of its folder "notebooks".

    Where there are none, the text that goes with `starter_notebooks`. Raises OSError where the folder cannot be read.
    """
    folder = folder.resolve()
    name = _legal(folder.name, RESERVED_PIPELINES, "main")
    top = sorted(folder.glob("*.ipynb"), key=_natural)
    paths = top or sorted((folder / FOLDER).glob("*.ipynb"), key=_natural)
    notebooks: list[_Notebook] = []
    left_out: list[str] = []
    for path in paths:
        found = _read(path, folder)
        if isinstance(found, str):
            left_out.append(f"# {_printable(path.name)} is left out: {found}\n")
        else:
            notebooks.append(found)
    if not notebooks:
        return "".join(left_out) + _STARTER.format(name=name)
    head = f"# `nbflow run {name}` runs these notebooks, each after those that it needs.\n"
    base = '\n[nbflow]\nnotebooks = "."\n' if top and (folder / FOLDER).is_dir() else ""
    return head + "".join(left_out) + base + _params(name, notebooks) + _tasks(name, notebooks)


def _read(path: Path, folder: Path) -> _Notebook | str:
    """A notebook, or why it cannot be in the file."""
    try:
        toml_text(path.name)
    except ValueError:
        return "its name is not UTF-8"
    file = read_notebook(path)
    if file.document is None:
        return file.problems[0].message
    if not path.resolve().is_relative_to(folder):
        return "it is a link that leaves the folder"
    match = _NUMBER.match(path.stem)
    return _Notebook(
        path=path.name,
        number=int(match[1]) if match else None,
        title=path.stem[match.end() :] if match else path.stem,
        contract=read_contract(file.document),
        kernel=file.kernel,
    )


def _tasks(pipeline: str, notebooks: Sequence[_Notebook]) -> str:
    """Tasks in the order of their numbers; equal numbers side by side, names without a number last, one by one."""
    lines = [f"\n[pipelines.{pipeline}.tasks]\n"]
    if len(notebooks) > 1 and all(one.number is None for one in notebooks):
        lines.append(_UNNUMBERED)
    taken: dict[str, str] = dict(RESERVED_TASKS)
    before: list[str] = []
    numbered = sorted((one for one in notebooks if one.number is not None), key=lambda one: one.number or 0)
    groups = [list(group) for _, group in groupby(numbered, lambda one: one.number)]
    for group in [*groups, *([one] for one in notebooks if one.number is None)]:
        names = []
        for one in group:
            names.append(_legal(one.title, taken, "task" if one.number is None else f"task_{one.number}"))
            taken[names[-1].lower()] = one.path
            needs = f", needs = {toml_value(before)}" if before else ""
            kernel = "" if one.kernel else ', kernel = "python3"'
            lines.append(f"{names[-1]} = {{ notebook = {toml_text(one.path)}{needs}{kernel} }}\n")
        before = names
    return "".join(lines)


def _params(pipeline: str, notebooks: Sequence[_Notebook]) -> str:
    """The parameters that notebooks declare, as parameters of the run, where they mean the same everywhere."""
    users: dict[str, list[tuple[str, Declared]]] = {}
    for one in notebooks:
        for declared in one.contract.declared.values():
            users.setdefault(declared.name, []).append((one.path, declared))
    lines = [_param(name, uses) for name, uses in users.items()]
    return "".join([f"\n[pipelines.{pipeline}.params]\n", *lines]) if lines else ""


def _param(name: str, uses: Sequence[tuple[str, Declared]]) -> str:
    """The line of one parameter; a comment where it has to stay with its notebooks."""
    paths = [path for path, _ in uses]
    where = _printable(", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else ""))
    declared = uses[0][1]
    if is_name(name):
        return f"# {_printable(name)} ({where}) has a name that other languages do not allow.\n"
    if any(_meaning(other) != _meaning(declared) for _, other in uses):
        return f"# {name} is not the same in {where}: give it to single tasks, params = {{ {name} = ... }}\n"
    if declared.required:
        return f'{name} = {{ type = "{declared.type.value}" }}  # {where}: no default, so each run must give it\n'
    said = f": {_printable(declared.description)}" if declared.description else ""
    try:
        return f"{name} = {_default(declared)}  # {where}{said}\n"
    except ValueError as error:
        return f"# {name} ({where}) keeps its default: {_printable(str(error))}\n"


def _meaning(declared: Declared) -> tuple[object, ...]:
    return declared.type, declared.required, declared.has_default, type(declared.default), repr(declared.default)


def _default(declared: Declared) -> str:
    """The value of a parameter in TOML, with its type where that would not be inferred. Raises ValueError."""
    if not declared.has_default:
        raise ValueError("it is computed by code")
    if declared.default is None:
        raise ValueError("it is None, which TOML has not")
    value: Any = declared.default
    if declared.type is ParamType.PATH:
        value = value.as_posix()
    text = toml_value(value)
    if len(text) > MAX_DEFAULT:
        raise ValueError(f"it has more than {MAX_DEFAULT} characters")
    if is_template(value):
        raise ValueError("it would be read as a template")
    check_value(value, declared.type, options=declared.options)
    inferred = infer_type(value)
    kind = inferred if declared.type is ParamType.ANY else declared.type
    if kind is inferred and kind is not ParamType.DICT:
        return text
    return f'{{ type = "{kind.value}", default = {text} }}'


def _legal(text: str, taken: Collection[str], fallback: str) -> str:
    """A legal name near a text: ASCII, no device, and not among `taken` (in small letters)."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    if not plain or name_fault(plain[:1]):
        plain = f"{fallback}_{plain}".strip("_") if plain else fallback
    stem = plain[:50]
    candidates = (stem if count == 1 else f"{stem}_{count}" for count in range(1, 100_000))
    return next(name for name in candidates if name.lower() not in taken and not name_fault(name))


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorts 2 before 10, as people do."""
    parts = re.split(r"(\d{1,9})", path.name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
