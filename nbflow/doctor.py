"""What can be wrong with an installation or a project before anything runs: `examine` looks, and changes nothing.

Packages are judged by their metadata, without importing them.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.core.addresses import is_url
from nbflow.core.database_url import is_database
from nbflow.core.sizes import size
from nbflow.errors import NbflowError, UnreachableError, UsageError
from nbflow.version import __version__

if TYPE_CHECKING:
    from nbflow.config.notebooks import NotebookFile
    from nbflow.core.spec import ProjectSpec
    from nbflow.kernels.specs import KernelSpec
    from nbflow.store.health import Health

PYTHON = (3, 11)
SQLITE = (3, 35, 0)
"""The first with everything that the store's statements use."""

REQUIRED = {
    "papermill": "2.7",
    "nbclient": "0.11",
    "nbformat": "5.10",
    "nbconvert": "7.17.1",
    "jupyter_client": "8.6",
    "jupyter_core": "5.8.1",
    "jupyter_server": "2.21.0",
    "ipykernel": "6.29",
    "ipython": "8.10.0",
    "tornado": "6.5.9",
    "mistune": "3.3.3",
    "jinja2": "3.1.6",
    "psutil": "5.9",
}
"""Least versions: older ones lack something, or have known holes."""

WHERE_INSTALLED = {
    "distributed": "2026.1.0",
    "nbdime": "3.1.1",
    "apprise": "1.9",
    "jupyterlab": "4.6.2",
    "jupyter-server-proxy": "4.2.0",
}
"""Least versions of packages that need not be there."""

LITTLE_SPACE, NO_SPACE = 1_000_000_000, 50_000_000
"""Bytes free at the archive that are worth a warning, and too few to run."""

MUCH_FREE, LARGE_LOG = 50_000_000, 100_000_000
"""Bytes of a store's file that nothing is in, and of its write-ahead log, that are worth a warning."""


class Finding(StrEnum):
    """What came of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. `exit_code` counts where it failed."""

    name: str
    finding: Finding
    message: str
    hint: str | None = None
    exit_code: int = 0


def examine(path: Path, profile: str | None = None) -> Iterator[Check]:
    """Look at the installation and, where there is a file at `path`, at its project."""
    yield _python()
    yield from _packages()
    yield from _kernels()
    yield _sockets()
    yield _limits()
    yield _sqlite()
    yield _git()
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        hint = "unset it: kernels and workers would start faster"
        yield _check(
            "bytecode", Finding.WARN, "PYTHONDONTWRITEBYTECODE is set: each process compiles its imports", hint
        )
    yield from _project(path, profile)


def _check(name: str, finding: Finding, message: str, hint: str | None = None, *, code: int = 0) -> Check:
    return Check(name=name, finding=finding, message=message, hint=hint, exit_code=code)


def _failed(name: str, error: NbflowError) -> Check:
    return _check(name, Finding.FAIL, error.message, error.hint, code=error.exit_code)


def _python() -> Check:
    found = f"Python {platform.python_version()}, nbflow {__version__} ({sys.executable})"
    if sys.version_info[:2] < PYTHON:
        return _check("python", Finding.FAIL, found, "nbflow needs Python 3.11 or newer", code=UsageError.exit_code)
    return _check("python", Finding.OK, found)


def _packages() -> Iterator[Check]:
    """One line for all that are well, one for each that is not."""
    well = 0
    for name, least in (REQUIRED | WHERE_INSTALLED).items():
        needed = name in REQUIRED
        try:
            found = version(name)
        except PackageNotFoundError:
            if needed:
                hint = "install nbflow again: pip install --upgrade jupyter-nbflow"
                yield _check(name, Finding.FAIL, "is not installed", hint, code=UsageError.exit_code)
            continue
        if _release(found) >= _release(least):
            well += 1
            continue
        finding = Finding.FAIL if needed else Finding.WARN
        hint = f"pip install '{name}>={least}'"
        code = UsageError.exit_code if needed else 0
        yield _check(name, finding, f"{found} is older than {least}, which has security fixes", hint, code=code)
    yield _check("packages", Finding.OK, f"{well} packages are recent enough")


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version: `6.5.9` of `6.5.9rc1+local`, without zeros at its end."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _kernels() -> Iterator[Check]:
    from nbflow.kernels.specs import find_kernel, installed_kernels

    names = installed_kernels()
    usable = []
    for name in names:
        try:
            spec = find_kernel(name)
        except NbflowError as error:
            yield _check(f"kernel {name}", Finding.WARN, error.message, error.hint)
            continue
        program = spec.argv[0] if spec.argv else ""
        if shutil.which(program) is None:
            hint = f"install the kernel again, or remove it: jupyter kernelspec remove {name}"
            yield _check(f"kernel {name}", Finding.WARN, f"its program {program or '(none)'} is not there", hint)
        else:
            usable.append(name)
    if usable:
        yield _check("kernels", Finding.OK, ", ".join(usable))
    else:
        hint = "python -m ipykernel install --user"
        code = UnreachableError.exit_code
        yield _check("kernels", Finding.FAIL, "no kernel is installed that could start", hint, code=code)


def _sockets() -> Check:
    from nbflow.kernels.runtime import RuntimeFolder

    try:
        folder = RuntimeFolder.create()
    except UnreachableError as error:
        return _failed("sockets", error)
    folder.remove()
    return _check("sockets", Finding.OK, f"kernels talk over files in {folder.path.parent}")


def _limits() -> Check:
    from nbflow.kernels.limits import ways

    return _check("resources", Finding.OK, ways())


def _sqlite() -> Check:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < SQLITE:
        hint = "use a Python that is linked to a newer SQLite"
        return _check("sqlite", Finding.FAIL, f"{found} is older than 3.35", hint, code=UnreachableError.exit_code)
    return _check("sqlite", Finding.OK, found)


def _git() -> Check:
    if shutil.which("git") is None:
        return _check("git", Finding.WARN, "git is not there: runs do not record the commit", "install git")
    return _check("git", Finding.OK, "runs record the commit")


def _project(path: Path, profile: str | None) -> Iterator[Check]:
    from nbflow.config.check import check

    if not path.exists():
        yield _check("project", Finding.OK, f"there is no {path.name} here: nothing more to look at")
        return
    checked = check(path, profile=profile)
    faults = sum(not problem.warning for problem in checked.problems)
    if checked.spec is None:
        message = f"{path.name} has {faults} problem{'' if faults == 1 else 's'}"
        yield _check("project", Finding.FAIL, message, "see: nbflow validate", code=UsageError.exit_code)
        return
    yield _check("project", Finding.OK, f"{path.name} declares {', '.join(checked.spec.pipelines) or 'no pipeline'}")
    yield from _starts(checked.spec, checked.notebooks)
    yield from _archive(checked.spec)
    yield from _store(checked.spec)


def _starts(spec: ProjectSpec, notebooks: Mapping[str, NotebookFile]) -> Iterator[Check]:
    """How each kernel that the project uses is started, and why."""
    from nbflow.core.spec import PreloadMode
    from nbflow.kernels.specs import find_kernel, why_not_forked

    tasks = [task for pipeline in spec.pipelines.values() for task in pipeline.tasks.values()]
    names = {task.kernel or notebooks[task.notebook].kernel for task in tasks}
    unforked = {name.lower() for name, preload in spec.preloads.items() if preload.mode is PreloadMode.OFF}
    for name in sorted(name for name in names if name is not None):
        try:
            reason = "preload = false" if name.lower() in unforked else why_not_forked(find_kernel(name))
        except NbflowError as error:
            yield _failed(f"kernel {name}", error)
            continue
        message = "forked from a zygote" if reason is None else f"ordinary start: {reason}"
        yield _check(f"kernel {name}", Finding.OK, message)
        given = next((preload.modules for key, preload in spec.preloads.items() if key.lower() == name.lower()), ())
        if reason is None and (missing := _not_found(find_kernel(name), given, spec.root)):
            message = f"preload: that kernel's Python has no {', '.join(missing)}"
            yield _check(
                f"kernel {name}", Finding.WARN, message, "install what is missing, or take it out of `preload`"
            )


def _not_found(kernel: KernelSpec, modules: Sequence[str], root: str) -> list[str]:
    """Those whose package the kernel's Python does not find. It is asked itself; none is imported."""
    names = sorted({module.partition(".")[0] for module in modules})
    if not names:
        return []
    source = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"
    env = {**os.environ, **kernel.env}
    command = [kernel.interpreter, "-c", source, *names]
    try:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []  # a Python that does not start is told of where a kernel is started
    return done.stdout.split()


def _archive(spec: ProjectSpec) -> Iterator[Check]:
    """Whether the archive can be written, judged as a run judges it, in the nearest folder that is there already."""
    from nbflow.archive.files import FileArchive

    root = Path(spec.archive)
    there = next(place for place in (root, *root.parents) if os.path.lexists(place))
    try:
        FileArchive(there).check()
    except UnreachableError as error:
        hint = "make it writable, or set [nbflow] outputs to another folder"
        message = f"{root} cannot be written: {error.message}"
        yield _check("archive", Finding.FAIL, message, hint, code=error.exit_code)
        return
    yield from _storage(spec) if is_url(spec.outputs) else (_check("archive", Finding.OK, str(root)),)
    free = shutil.disk_usage(there).free
    shown = f"{free / 1e9:.1f} GB are free at {there}"
    if free < NO_SPACE:
        yield _check("disk", Finding.FAIL, shown, "make room", code=UnreachableError.exit_code)
    else:
        yield _check("disk", Finding.WARN if free < LITTLE_SPACE else Finding.OK, shown, "make room")


def _storage(spec: ProjectSpec) -> Iterator[Check]:
    """Whether object storage lets us write, as a run asks it; and what waits for it here."""
    from nbflow.archive.ledger import Ledgers
    from nbflow.archive.look import Look
    from nbflow.archive.objects import Objects
    from nbflow.archive.words import count
    from nbflow.archiving import ledgers_folder

    refusal = Look(Objects(spec.outputs)).refusal()
    if refusal is None:
        yield _check("archive", Finding.OK, f"{spec.outputs}, by way of {spec.archive}")
    else:
        finding, code = (Finding.FAIL, refusal.exit_code) if refusal.lasting else (Finding.WARN, 0)
        yield _check("archive", finding, refusal.message, refusal.hint, code=code)
    waiting = Ledgers(ledgers_folder(spec)).waiting()
    if waiting:
        message = f"{count(len(waiting), 'run')} not in {spec.outputs} as a whole: {', '.join(waiting[:3])}"
        yield _check(
            "uploads", Finding.WARN, message, f"upload them, where they have ended: nbflow report {waiting[0]}"
        )


def _store(spec: ProjectSpec) -> Iterator[Check]:
    from nbflow.store.health import look
    from nbflow.store.places import warnings

    if is_database(spec.state):
        yield from _database(spec.state)
        return
    path = Path(spec.state)
    for text in warnings(path):
        yield _check("store", Finding.WARN, text)
    if not os.path.lexists(path):
        above = next(place for place in path.parents if os.path.lexists(place))
        hint = "set [nbflow] state to another file"
        if not above.is_dir():
            yield _failed("store", UnreachableError(f"{path}: {above} is no folder", hint=hint))
        elif not os.access(above, os.W_OK | os.X_OK):  # one that may not be entered hides what it holds
            yield _failed("store", UnreachableError(f"{path}: {above} cannot be used: Permission denied", hint=hint))
        else:
            yield _check("store", Finding.OK, f"{path} will be made by the first run")
        return
    try:
        health = look(path)
    except UnreachableError as error:
        yield _failed("store", error)
    else:
        yield from _judge(path, health)


def _judge(path: Path, health: Health) -> Iterator[Check]:
    """What a deep look at a store's file comes to."""
    from nbflow.archive.words import count
    from nbflow.store.access import RESTORE

    if health.faults:
        saved = f"; there is {health.backups[-1].name}" if health.backups else ""
        message = f"{path} is damaged: {'; '.join(health.faults[:3])}"
        hint = f"{RESTORE}{saved}. What can still be read: sqlite3 {path.name} .recover"
        yield _check("store", Finding.FAIL, message, hint, code=UnreachableError.exit_code)
        return
    used = f", open in {', '.join(health.users[:5])}" if health.users else ""
    written = ", being written to now" if health.is_written else ""
    shown = f"{path}: whole; {count(health.runs, 'run')}, {size(health.size)}, schema {health.version}"
    yield _check("store", Finding.OK, f"{shown}, journal {health.journal}{used}{written}")
    if health.version < health.newest:
        message = f"the next command brings the store from schema {health.version} to {health.newest}, after a backup"
        yield _check("store", Finding.OK, message)
    yield from _begun(health.begun)
    if health.free > max(MUCH_FREE, health.size // 4):
        hint = "nbflow prune gives it back"
        yield _check("store", Finding.WARN, f"{size(health.free)} of the store's file are not used", hint)
    if health.log > LARGE_LOG:
        hint = "somebody reads for very long, or was stopped: end what has it open"
        yield _check("store", Finding.WARN, f"the store's log has grown to {size(health.log)}", hint)
    free = shutil.disk_usage(path.parent).free
    if free < NO_SPACE:
        shown = f"{size(free)} are free at {path.parent}"
        yield _check("store", Finding.FAIL, shown, "make room", code=UnreachableError.exit_code)


def _begun(removals: int) -> Iterator[Check]:
    """What a prune that was killed has left to do."""
    from nbflow.archive.words import count

    if removals:
        has, them = ("has", "it") if removals == 1 else ("have", "them")
        message = f"{count(removals, 'removal')} {has} been begun"
        yield _check("store", Finding.WARN, message, f"nbflow prune finishes {them}")


def _database(url: str) -> Iterator[Check]:
    """The store on a server: which it is, and whether it can be used from here."""
    from nbflow.store.opening import open_database

    try:
        with closing(open_database(url)) as store:
            found = store.describe()
            store.runs(limit=1)
            begun = len(store.removals.removed())
    except NbflowError as error:
        yield _failed("store", error)
        return
    yield _check("store", Finding.OK, found)
    yield from _begun(begun)
