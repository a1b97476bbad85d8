"""What a cell that prints 1 GB costs: `nbflow run` of a real notebook, and the memory of all its processes.

    python benchmarks/flood.py [--size 1000] [--line 100]

Prints the peak of the memory (proportional set size where the system tells it) of the command and all that it started,
sampled ten times a second, the sizes of the archived notebook and of the file beside it, and the seconds it took. The
target: peak under 400 MB, notebook under 20 MB, the whole text beside it. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

MB = 1_000_000
MOST_MEMORY = 400 * MB
MOST_NOTEBOOK = 20 * MB
EVERY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run: bytes and seconds. `text` is what the file beside the notebook unpacks to."""

    seconds: float
    peak: int
    notebook: int
    packed: int
    text: int


def project(folder: Path, size: int, line: int) -> None:
    """A project whose one notebook prints `size` bytes in lines of `line`."""
    code = f"line = 'x' * {line - 1}\nfor _ in range({size // line}):\n    print(line)"
    cell = {"id": "flood", "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": code}
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "flood.ipynb").write_text(json.dumps(document), "utf-8")
    (folder / "pipelines.toml").write_text('[pipelines.flood.tasks]\nflood = { notebook = "flood.ipynb" }\n', "utf-8")


def measure(folder: Path) -> Measured:
    """Run the pipeline of a folder and look at its processes until it has ended."""
    command = [sys.executable, "-m", "nbflow", "run", "flood"]
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory(psutil.Process(process.pid)))
        time.sleep(EVERY)
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"nbflow run ended with {process.returncode}")
    (notebook,) = folder.glob("outputs/flood/*/flood.ipynb")
    (packed,) = notebook.parent.glob("flood.cell-1.stdout.txt.gz")
    return Measured(
        seconds=seconds,
        peak=peak,
        notebook=notebook.stat().st_size,
        packed=packed.stat().st_size,
        text=unpacked(packed),
    )


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all that it started. Pages that several share are counted once where that is known."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            try:
                found = one.memory_full_info()
                total += getattr(found, "pss", 0) or found.rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return total
    return total


def unpacked(path: Path) -> int:
    """The size of a packed file's contents."""
    size = 0
    with gzip.open(path) as file:
        while piece := file.read(MB):
            size += len(piece)
    return size


def main() -> int:
    """Measure once; 1 where a target is missed."""
    options = argparse.ArgumentParser(description="What a cell that prints 1 GB costs.")
    options.add_argument("--size", type=int, default=1_000, help="megabytes that the cell prints")
    options.add_argument("--line", type=int, default=100, help="bytes of a line")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder), asked.size * MB, asked.line)
        found = measure(Path(folder))
    size = asked.size * MB // asked.line * asked.line
    checks = [
        ("peak memory of all processes", f"{found.peak / MB:.0f} MB", "< 400 MB", found.peak < MOST_MEMORY),
        ("archived notebook", f"{found.notebook / MB:.1f} MB", "< 20 MB", found.notebook < MOST_NOTEBOOK),
        ("text beside it", f"{found.text / MB:.0f} MB, packed {found.packed / MB:.1f} MB", "all", found.text == size),
    ]
    pace = asked.size / found.seconds
    print(f"{asked.size} MB printed in lines of {asked.line} bytes: {found.seconds:.1f} s, {pace:.1f} MB/s")
    for what, value, target, holds in checks:
        print(f"{what:<30} {value:<26} {target:<10} {'holds' if holds else 'MISSED'}")
    return 0 if all(holds for *_, holds in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
