"""How much memory notebooks take that run at once: nbflow beside papermill, each in all its processes.

    python benchmarks/memory.py [--kernels 6]

Each notebook imports pandas and then waits until all have: at that moment the proportional set sizes of the whole
process tree are summed. The target is at most half of papermill in as many processes. Exits with 1 where it is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil
import sides

WAITING = sides.notebook(
    "import pandas as pd",
    "import os, pathlib, time\n"
    "pathlib.Path(f'ready-{os.getpid()}').touch()\n"
    "while not pathlib.Path('go').exists():\n"
    "    time.sleep(0.05)",
)
LONGEST = 120.0


def proportional(process: psutil.Process) -> int:
    """Bytes of a process and of all that it started, pages that are shared counted once."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def measure(side: sides.Side, kernels: int) -> int:
    """Bytes at the moment when all notebooks have their imports."""
    for left in (*side.cwd.glob("ready-*"), side.cwd / "go"):
        left.unlink(missing_ok=True)
    process = subprocess.Popen(side.command, cwd=side.cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LONGEST
    while len(list(side.cwd.glob("ready-*"))) < kernels:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            sys.exit(f"{side.name} did not bring up {kernels} notebooks")
        time.sleep(0.1)
    found = proportional(psutil.Process(process.pid))
    (side.cwd / "go").touch()
    process.wait(LONGEST)
    return found


def main() -> int:
    """Measure both sides."""
    parser = argparse.ArgumentParser(description="memory of notebooks that run at once")
    parser.add_argument("--kernels", type=int, default=6)
    count = parser.parse_args().kernels
    ours, theirs = sides.nbflow("pandas"), sides.peer("papermill", *sides.PAPERMILL, "pandas")
    print(sides.machine(ours, theirs))
    pool, pipeline = sides.papermill_pool(count, count, "one.ipynb"), sides.independent("work", count, "one.ipynb")
    with sides.project(pipeline, {"one.ipynb": WAITING, "loop.py": pool}) as folder:
        papermill = measure(sides.Side("papermill", [str(theirs / "python"), "loop.py"], Path(folder)), count)
        command = [str(ours / "nbflow"), "run", "work", "-j", str(count)]
        nbflow = measure(sides.Side("nbflow", command, Path(folder)), count)
    ratio = nbflow / papermill
    print(f"{count} notebooks that have imported pandas, proportional set size of the whole tree")
    print(f"  papermill {papermill / 1e6:8.0f} MB\n  nbflow    {nbflow / 1e6:8.0f} MB")
    print(f"  ratio {ratio:.3f}, target at most 0.500: {'holds' if ratio <= 0.5 else 'DOES NOT HOLD'}")
    return 0 if ratio <= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
