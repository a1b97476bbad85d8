"""The starter notebooks: valid for Jupyter, and they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.config.starter import starter_notebooks


def test_they_are_valid_notebooks() -> None:
    for name, document in starter_notebooks().items():
        nbformat.validate(nbformat.from_dict(document))
        assert name.startswith("notebooks/")


def run(name: str, scope: dict[str, Any]) -> None:
    for cell in starter_notebooks()[f"notebooks/{name}.ipynb"]["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)  # noqa: S102 - our own notebook


def test_their_code_runs_and_the_report_reads_what_extract_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("extract", {})
    assert (tmp_path / "data" / "squares.csv").read_text().splitlines()[-1] == "10,100"
    run("report", {})
    assert "10 rows, the sum of the squares is 385" in capsys.readouterr().out
