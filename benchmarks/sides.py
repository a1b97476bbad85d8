"""What the benchmarks share: both sides in environments of their own, notebooks, and whole processes taken in turn.

A side is a command; its time is that of the whole process from the outside. Sides are measured A B A B, after one round
that is not counted and that compiles the bytecode; medians and their ratio are printed. Environments are made below
`benchmarks/.sides` once, from `constraints.txt`, and kept.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIDES = Path(__file__).resolve().parent / ".sides"
PAPERMILL = ("papermill", "nbclient", "ipykernel")


@dataclass(frozen=True)
class Side:
    """One of those that are compared: its name, and the command to measure."""

    name: str
    command: Sequence[str]
    cwd: Path


@dataclass(frozen=True)
class Taken:
    """What one round took: wall clock and processor, in seconds."""

    wall: float
    cpu: float


def nbflow(*packages: str) -> Path:
    """The folder of programs of an environment with this nbflow in it."""
    return _environment("nbflow", [str(ROOT), *packages], is_ours=True)


def peer(name: str, *packages: str) -> Path:
    """The folder of programs of a peer's environment."""
    return _environment(name, list(packages))


def _environment(name: str, packages: Sequence[str], *, is_ours: bool = False) -> Path:
    place = SIDES / name
    wanted = json.dumps([sys.version, *packages])
    note = place / "packages.json"
    if is_ours or not note.exists() or note.read_text("utf-8") != wanted:
        if not note.exists() or note.read_text("utf-8") != wanted:
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
        install = [place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        again = ["--force-reinstall", "--no-deps", str(ROOT)] if note.exists() else list(packages)
        subprocess.run([*install, "-c", ROOT / "constraints.txt", *again], check=True)
        note.write_text(wanted, "utf-8")
    return place / "bin"


def notebook(*cells: str) -> str:
    """A notebook of Python cells, as the text of its file."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    found = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": cell}
        for n, cell in enumerate(cells)
    ]
    return json.dumps({"cells": found, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


@contextmanager
def project(pipelines: str, notebooks: Mapping[str, str]) -> Iterator[Path]:
    """A folder with notebooks and a file `pipelines.toml`, for both sides."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        (folder / "pipelines.toml").write_text(pipelines, "utf-8")
        for name, text in notebooks.items():
            (folder / name).write_text(text, "utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chain(name: str, length: int, notebook_file: str) -> str:
    """A pipeline of tasks in a row."""
    lines = [f"[pipelines.{name}.tasks]"]
    for number in range(length):
        needs = f', needs = ["t{number - 1:03}"]' if number else ""
        lines.append(f't{number:03} = {{ notebook = "{notebook_file}"{needs} }}')
    return "\n".join(lines) + "\n"


def independent(name: str, count: int, notebook_file: str) -> str:
    """A pipeline of tasks that need nothing."""
    tasks = [f't{number:03} = {{ notebook = "{notebook_file}" }}' for number in range(count)]
    return "\n".join([f"[pipelines.{name}.tasks]", *tasks]) + "\n"


def papermill_loop(count: int, notebook_file: str) -> str:
    """A program that runs a notebook a number of times, one after the other."""
    return (
        "import papermill\n"
        f"for number in range({count}):\n"
        f"    papermill.execute_notebook({notebook_file!r}, f'done-{{number}}.ipynb', progress_bar=False)\n"
    )


def papermill_pool(count: int, processes: int, notebook_file: str) -> str:
    """The same in a pool of processes."""
    return (
        "import multiprocessing, papermill\n"
        "def run(number):\n"
        f"    papermill.execute_notebook({notebook_file!r}, f'done-{{number}}.ipynb', progress_bar=False)\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context('spawn').Pool({processes}) as pool:\n"
        f"        pool.map(run, range({count}), chunksize=1)\n"
    )


def take(side: Side) -> Taken:
    """Run a side's command to its end. Ends the benchmark where it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(side.command, cwd=side.cwd, env=environment, capture_output=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{side.name} failed ({done.returncode}):\n{done.stdout.decode()}\n{done.stderr.decode()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(wall, cpu)


def compare(title: str, ours: Side, theirs: Side, *, target: float, then: float | None, rounds: int) -> bool:
    """Take both in turn and print medians and ratio. True where the target holds."""
    taken: dict[str, list[Taken]] = {ours.name: [], theirs.name: []}
    for number in range(rounds + 1):
        for side in (theirs, ours):
            found = take(side)
            if number:
                taken[side.name].append(found)
    wall = {name: statistics.median(one.wall for one in found) for name, found in taken.items()}
    cpu = {name: statistics.median(one.cpu for one in found) for name, found in taken.items()}
    ratio = wall[ours.name] / wall[theirs.name]
    print(f"{title} (medians of {rounds}, in turn)")
    for name in (theirs.name, ours.name):
        print(f"  {name:<12} {wall[name]:8.2f} s wall  {cpu[name]:8.2f} s processor")
    further = f", then {then:.3f}" if then is not None else ""
    holds = ratio <= target
    print(f"  ratio {ratio:.3f}, target at most {target:.3f}{further}: {'holds' if holds else 'DOES NOT HOLD'}")
    return holds


def machine(*environments: Path) -> str:
    """Where it was measured: cores, Python, and the versions that matter."""
    names = ("nbflow", "jupyter-nbflow", "papermill", "nbclient", "ipykernel", "pandas")
    lines = [f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"]
    for place in environments:
        listed = subprocess.run(
            [place / "python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
            capture_output=True, check=True,
        )  # fmt: skip
        found = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
        versions = ", ".join(f"{name} {found[name]}" for name in names if name in found)
        lines.append(f"{place.parent.name}: {versions}")
    return "\n".join(lines)
