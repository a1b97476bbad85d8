"""Measure the simulator: plant bugs into copies of the package, and see which of them it catches.

`python tests/simulation/plant_bugs.py [NAME...]` prints, for each bug, the first seed that shows it. A bug is a change
of text (`bugs.toml`); one whose text is no longer there is an error, so that the list cannot go stale unnoticed. Those
of `world = "engines"` are looked for where several engines share a store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SEEDS = 600
"""Histories that a bug may hide in; half of what the default run simulates."""

HUNT = """
import sys
import nbflow
from simulation.engines import Engines
from simulation.simulator import Simulation
assert nbflow.__file__.startswith(sys.argv[1]), nbflow.__file__
for seed in range(int(sys.argv[2])):
    try:
        Simulation(seed).run() if sys.argv[3] == "run" else Engines(seed).play()
    except Exception as error:
        print(f"seed {seed}: {type(error).__name__}: {error}"[:160].replace("\\n", " "))
        sys.exit(3)
"""


@dataclass(frozen=True)
class Bug:
    """What is changed in a module below `nbflow`: each `old` must stand there once."""

    name: str
    module: str
    old: str
    new: str
    world: str = "run"


@dataclass(frozen=True)
class Catch:
    """What became of a bug. `proof` is how it showed, empty where it did not."""

    bug: Bug
    proof: str


def bugs() -> list[Bug]:
    """All bugs of `bugs.toml`."""
    return [Bug(**one) for one in tomllib.loads((Path(__file__).parent / "bugs.toml").read_text("utf-8"))["bugs"]]


def planted(bug: Bug) -> str:
    """The text of its module with the bug. Raises ValueError where what it changes is not there once."""
    text = (ROOT / "nbflow" / bug.module).read_text("utf-8")
    if text.count(bug.old) != 1:
        raise ValueError(f"'{bug.name}': its text stands {text.count(bug.old)} times in {bug.module}: {bug.old}")
    return text.replace(bug.old, bug.new)


def hunt(bug: Bug, seeds: int = SEEDS) -> Catch:
    """Simulate histories with a bug until one of them shows it."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(ROOT / "nbflow", Path(name, "nbflow"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(name, "nbflow", bug.module).write_text(planted(bug), "utf-8")
        path = os.pathsep.join([name, str(TESTS)])
        done = subprocess.run(
            [sys.executable, "-c", HUNT, name, str(seeds), bug.world],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"'{bug.name}' could not be hunted:\n{done.stderr}")
    return Catch(bug, done.stdout.strip())


def main(names: Sequence[str]) -> int:
    """Hunt all bugs, or those whose names hold one of the texts; 1 where one of them got away."""
    chosen = [bug for bug in bugs() if not names or any(name in bug.name for name in names)]
    caught = 0
    for bug in chosen:
        catch = hunt(bug)
        caught += bool(catch.proof)
        print(f"{'caught' if catch.proof else 'MISSED':7} {bug.name:52} {catch.proof}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
