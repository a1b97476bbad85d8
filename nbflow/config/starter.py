"""The two notebooks that `nbflow init` writes into a folder without any: small, and a run of them explains nbflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_EXTRACT_TEXT = """\
# Extract

Makes a few numbers and writes them to a file. The cell below is tagged `parameters`: a run may give other values,
which nbflow puts into a cell of its own right after it."""

_EXTRACT_CODE = """\
import csv
from pathlib import Path

path = Path("data/squares.csv")  # relative to the folder of pipelines.toml
path.parent.mkdir(parents=True, exist_ok=True)
with path.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["number", "square"])
    writer.writerows([number, number**2] for number in range(1, count + 1))
print(f"wrote {count} rows to {path}")"""

_REPORT_TEXT = """\
# Report

Reads what `extract` has written. It runs after it, because it `needs` it."""

_REPORT_CODE = """\
import csv
from pathlib import Path

with Path("data/squares.csv").open(newline="") as file:
    rows = [(int(number), int(square)) for number, square in list(csv.reader(file))[1:]]
largest = max(square for _, square in rows)
for number, square in rows:
    print(f"{number:>4} {'#' * round(40 * square / largest)} {square}")"""

_REPORT_SUM = 'print(f"{len(rows)} rows, the sum of the squares is {sum(square for _, square in rows)}")'

_EXTRACT = (("markdown", _EXTRACT_TEXT), ("parameters", "count = 10  # how many numbers"), ("code", _EXTRACT_CODE))
_REPORT = (("markdown", _REPORT_TEXT), ("code", _REPORT_CODE), ("code", _REPORT_SUM))


def starter_notebooks() -> dict[str, dict[str, Any]]:
    """Path relative to the project (POSIX) -> notebook document, format 4.5. They go with `initial_file`."""
    return {"notebooks/extract.ipynb": _document(_EXTRACT), "notebooks/report.ipynb": _document(_REPORT)}


def _document(cells: Iterable[tuple[str, str]]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {
        "cells": [_cell(f"cell-{index}", kind, source) for index, (kind, source) in enumerate(cells, start=1)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(name: str, kind: str, source: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    if kind == "markdown":
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines}
    metadata = {"tags": ["parameters"]} if kind == "parameters" else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata,
        "outputs": [],
        "source": lines,
    }
