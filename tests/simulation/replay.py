"""Replay one simulated history and print it: `python tests/simulation/replay.py SEED`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.simulator import Simulation


def main(seed: int) -> int:
    """Print the events of a history, and what is wrong with it; 1 where something is."""
    simulation = Simulation(seed)
    problem: Exception | None = None
    try:
        simulation.run()
    except Exception as error:  # noqa: BLE001 - whatever breaks is shown with the history that led to it
        problem = error
    for step in simulation.steps:
        print(f"{step.at:10.1f} {'a new engine: ' if step.crash else ''}{[str(one) for one in step.send]}")
    print(*simulation.lines(), sep="\n")
    if problem is not None:
        print(f"{type(problem).__name__}: {problem}")
    return int(problem is not None)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
