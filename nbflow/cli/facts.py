"""Facts of one thing below each other, and values as a file writes them. Must not know what they are about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nbflow.cli.output import Output
from nbflow.cli.text import Cell


def print_facts(out: Output, facts: Mapping[str, Cell | str]) -> None:
    """Names and values below each other; empty ones are left out."""
    rows: list[list[Cell | str]] = []
    for name, value in facts.items():
        if value.text if isinstance(value, Cell) else value:
            rows.append([Cell(name, "dim"), value])
    out.table((), rows)


def shown_value(value: Any) -> str:
    """A value as the file writes it; text without quotes where that is clear."""
    if isinstance(value, str):
        return value if value and value == value.strip() else json.dumps(value)
    return "-" if value is None or value == [] else json.dumps(value, ensure_ascii=False)
