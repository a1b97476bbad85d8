"""How long notebooks take: nbflow beside papermill, whole processes, in turn.

    python benchmarks/notebooks.py [chain] [cells] [imports] [parallel] [--rounds 3]

chain     20 trivial notebooks, one after the other (target: at most 1/6 of a papermill loop, then 1/10)
cells     one notebook of 100 small cells (at most 0.35 of papermill, then 0.2)
imports   10 notebooks in a row that import pandas (at most 1/6, then 1/12)
parallel  40 independent notebooks on two cores (at most 1/4 of papermill in a pool of two processes)

Exits with 1 where a target does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

import sides

TRIVIAL = sides.notebook("x = 1\nprint(x)")
CELLS = sides.notebook(*(f"x{number} = {number}\nprint(x{number})" for number in range(100)))
PANDAS = sides.notebook("import pandas as pd", "print(pd.DataFrame({'a': [1, 2]}).sum())")


def _side_by_side(
    title: str, text: str, pipeline: str, program: str, *, target: float, then: float | None, rounds: int
) -> bool:
    """One row: the pipeline `work` beside a program that uses papermill."""
    ours, theirs = sides.nbflow("pandas"), sides.peer("papermill", *sides.PAPERMILL, "pandas")
    with sides.project(pipeline, {"one.ipynb": text, "loop.py": program}) as folder:
        return sides.compare(
            title,
            sides.Side("nbflow", [str(ours / "nbflow"), "run", "work", "-j", "2"], folder),
            sides.Side("papermill", [str(theirs / "python"), "loop.py"], folder),
            target=target,
            then=then,
            rounds=rounds,
        )


def chain(rounds: int) -> bool:
    """A chain of 20 trivial notebooks."""
    pipeline, program = sides.chain("work", 20, "one.ipynb"), sides.papermill_loop(20, "one.ipynb")
    title = "20 trivial notebooks in a row"
    return _side_by_side(title, TRIVIAL, pipeline, program, target=1 / 6, then=1 / 10, rounds=rounds)


def cells(rounds: int) -> bool:
    """One notebook of 100 cells."""
    pipeline, program = sides.chain("work", 1, "one.ipynb"), sides.papermill_loop(1, "one.ipynb")
    return _side_by_side("100 small cells", CELLS, pipeline, program, target=0.35, then=0.2, rounds=rounds)


def imports(rounds: int) -> bool:
    """A chain of 10 notebooks that import pandas."""
    pipeline, program = sides.chain("work", 10, "one.ipynb"), sides.papermill_loop(10, "one.ipynb")
    title = "10 notebooks in a row that import pandas"
    return _side_by_side(title, PANDAS, pipeline, program, target=1 / 6, then=1 / 12, rounds=rounds)


def parallel(rounds: int) -> bool:
    """40 independent notebooks on two cores."""
    pipeline, program = sides.independent("work", 40, "one.ipynb"), sides.papermill_pool(40, 2, "one.ipynb")
    title = "40 independent notebooks, two at a time"
    return _side_by_side(title, TRIVIAL, pipeline, program, target=1 / 4, then=None, rounds=rounds)


ROWS: Mapping[str, object] = {"chain": chain, "cells": cells, "imports": imports, "parallel": parallel}


def main() -> int:
    """Measure the rows that were asked for."""
    parser = argparse.ArgumentParser(description="nbflow beside papermill")
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], default=[], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is taken (default 3)")
    options = parser.parse_args()
    print(sides.machine(sides.nbflow("pandas"), sides.peer("papermill", *sides.PAPERMILL, "pandas")))
    held = [ROWS[row](options.rounds) for row in options.rows or ROWS]  # type: ignore[operator]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
