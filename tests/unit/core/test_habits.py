"""What surprises in a run is found where it is certain, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.habits import habit_warnings


def notebook(*sources: str, language: str = "python") -> dict[str, Any]:
    cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    return {"cells": cells, "metadata": {"kernelspec": {"language": language}}, "nbformat": 4}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%matplotlib widget", "`%matplotlib widget`"),
        ("%matplotlib qt5  # a window", "`%matplotlib qt5`"),
        ("%matplotlib", "`%matplotlib`"),
        ("%matplotlib notebook", "`%matplotlib notebook`"),
        ("if True:\n    %matplotlib tk", "`%matplotlib tk`"),
    ],
)
def test_a_backend_that_needs_a_screen(line: str, said: str) -> None:
    (warning,) = habit_warnings(notebook("1", f"import matplotlib\n{line}\nx = 1"))
    assert warning == f"cell 2: {said} needs somebody at a screen; in a run use `%matplotlib inline`"


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ("%pip install six", "pip"),
        ("% pip install six", "pip"),
        ("%conda install -y six", "conda"),
        ("!pip3 install six", "pip3"),
        ("!{sys.executable} -m pip install six", "pip"),
        ("!/opt/x/bin/python3.12 -m pip uninstall -y six", "pip"),
        ("!uv pip install six", "pip"),
        ("!uv add six", "uv"),
        ("pip install six", "pip"),
    ],
)
def test_an_installation(line: str, tool: str) -> None:
    (warning,) = habit_warnings(notebook(line))
    assert warning.startswith(f"cell 1 changes installed packages ({tool}): ")


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline",
        "%matplotlib agg",
        "%matplotlib --list",
        "%config InlineBackend.figure_format = 'svg'",
        "%pip list",
        "!pip freeze",
        "# %pip install six",
        "text = '''\npip install six\n'''",
        "pip = 1\npip in [1]",
        "text = '''\n%pip install six\n%matplotlib qt\n'''",
        "%%bash\npip install six",
        "%%writefile setup.sh\n!pip install six",
        "def install(): pass",
        "no Python at all\n%pip install six",
    ],
)
def test_what_is_no_surprise_or_not_certain(source: str) -> None:
    assert habit_warnings(notebook(source)) == ()


def test_another_language() -> None:
    assert habit_warnings(notebook("%pip install six", language="R")) == ()


@given(st.text())
def test_nothing_breaks_it(source: str) -> None:
    habit_warnings(notebook(source, f"%pip install x\n{source}"))
