"""A first `pipelines.toml` for a folder of notebooks: `initial_file(folder)` gives the text, and writes nothing.

The text is a start for a person to edit, so it says in comments what it had to guess or to leave out.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from nbflow.config.check import installed_kernels
from nbflow.config.keys import RESERVED_PIPELINES, RESERVED_TASKS
from nbflow.config.notebooks import read_notebook
from nbflow.config.search import find_notebooks
from nbflow.config.toml import toml_text, toml_value
from nbflow.core.contract import Contract, Declared, read_contract
from nbflow.core.expr import is_template
from nbflow.core.faults import name_fault
from nbflow.core.params import check_value, infer_type, is_name
from nbflow.core.spec import ParamType

FOLDER = "notebooks"
"""The folder that paths of notebooks start from, where there is one."""
PYTHON = "python3"
"""The kernel for a Python notebook whose own one is not installed."""
MAX_DEFAULT = 200
"""Characters of a default that is written into the file; a longer one stays in its notebook."""

_NUMBER = re.compile(r"(\d{1,9})[\s._-]*")
_UNNUMBERED = (
    "# File names say no order, so the tasks run in that of the alphabet. Where that is wrong, change `needs`.\n"
)
_FOLDERS = "# Folders come one after another, in the order of the alphabet. Where that is wrong, change `needs`.\n"
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
    """A notebook that can run. `number` is what its name begins with; `title` the rest of it.

    `path` starts from the project's folder, `shown` from where the file's paths start. `kernel` is the one to set.
    """

    path: Path
    shown: str
    number: int | None
    title: str
    contract: Contract
    kernel: str | None
    comment: str


def initial_file(folder: Path, *, kernels: Callable[[], Mapping[str, str]] = installed_kernels) -> str:
    """The text of a `pipelines.toml` that runs the notebooks of a folder and of the folders in it.

    Where there are none, the text that goes with `starter_notebooks`. Raises OSError where the folder cannot be read.
    """
    folder = folder.resolve()
    name = _legal(folder.name, RESERVED_PIPELINES, "main")
    found = find_notebooks(folder)
    is_plain = all(path.parts[0] == FOLDER for path in found.paths)
    base = Path(FOLDER) if is_plain else Path()
    installed = kernels() if found.paths else {}
    notebooks: list[_Notebook] = []
    left_out = [f"# {_printable(text)}\n" for text in found.omitted]
    for path in found.paths:
        one = _read(path, folder, base, installed)
        if isinstance(one, str):
            left_out.append(f"# {_printable(str(path.relative_to(base)))} is left out: {_printable(one)}\n")
        else:
            notebooks.append(one)
    if not notebooks:
        return "".join(left_out) + _STARTER.format(name=name)
    head = f"# `nbflow run {name}` runs these notebooks, each after those that it needs.\n"
    setting = '\n[nbflow]\nnotebooks = "."\n' if not is_plain and (folder / FOLDER).is_dir() else ""
    return head + "".join(left_out) + setting + _params(name, notebooks) + _tasks(name, notebooks)


def _read(path: Path, folder: Path, base: Path, kernels: Mapping[str, str]) -> _Notebook | str:
    """A notebook, or why it cannot be in the file."""
    try:
        toml_text(str(path))
    except ValueError:
        return "its name is not UTF-8"
    file = read_notebook(folder / path)
    if file.document is None:
        return file.problems[0].message
    if not file.path.resolve().is_relative_to(folder):
        return "it is a link that leaves the folder"
    contract = read_contract(file.document)
    kernel, comment = None, ""
    if (file.kernel or "").lower() not in kernels:
        reason = f'its kernel "{file.kernel}" is not installed' if file.kernel else "it names no kernel"
        if contract.language != "python" or PYTHON not in kernels:
            return reason
        kernel, comment = PYTHON, f"  # {_printable(reason)}"
    match = _NUMBER.match(path.stem)
    return _Notebook(
        path=path,
        shown=path.relative_to(base).as_posix(),
        number=int(match[1]) if match else None,
        title=path.stem[match.end() :] if match else path.stem,
        contract=contract,
        kernel=kernel,
        comment=comment,
    )


def _tasks(pipeline: str, notebooks: Sequence[_Notebook]) -> str:
    """Tasks folder by folder, as `_groups`; what has one name in two folders has that of the folder before it."""
    lines = [f"\n[pipelines.{pipeline}.tasks]\n"]
    if len({one.path.parent for one in notebooks}) > 1:
        lines.append(_FOLDERS)
    elif len(notebooks) > 1 and all(one.number is None for one in notebooks):
        lines.append(_UNNUMBERED)
    plain = Counter(_task_name(one, (), "").lower() for one in notebooks)
    taken: dict[str, str] = dict(RESERVED_TASKS)
    before: list[str] = []
    for group in _groups(notebooks):
        names = []
        for one in group:
            is_double = plain[_task_name(one, (), "").lower()] > 1
            prefix = Path(one.shown).parent.as_posix() + "_" if is_double and "/" in one.shown else ""
            names.append(_task_name(one, taken, prefix))
            taken[names[-1].lower()] = one.shown
            needs = f", needs = {toml_value(before)}" if before else ""
            kernel = f", kernel = {toml_text(one.kernel)}" if one.kernel else ""
            lines.append(f"{names[-1]} = {{ notebook = {toml_text(one.shown)}{needs}{kernel} }}{one.comment}\n")
        before = names
    return "".join(lines)


def _groups(notebooks: Sequence[_Notebook]) -> Iterator[list[_Notebook]]:
    """Notebooks that run side by side: in each folder those of one number, then those without a number one by one."""
    for _, found in groupby(notebooks, lambda one: one.path.parent):
        inside = list(found)
        numbered = sorted((one for one in inside if one.number is not None), key=lambda one: one.number or 0)
        yield from (list(group) for _, group in groupby(numbered, lambda one: one.number))
        yield from ([one] for one in inside if one.number is None)


def _task_name(one: _Notebook, taken: Collection[str], prefix: str) -> str:
    return _legal(prefix + one.title, taken, "task" if one.number is None else f"task_{one.number}")


def _params(pipeline: str, notebooks: Sequence[_Notebook]) -> str:
    """The parameters that notebooks declare, as parameters of the run, where they mean the same everywhere."""
    users: dict[str, list[tuple[str, Declared]]] = {}
    for one in notebooks:
        for declared in one.contract.declared.values():
            users.setdefault(declared.name, []).append((one.shown, declared))
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


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
