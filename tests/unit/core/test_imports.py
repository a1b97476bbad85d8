"""What a notebook imports, and what kernels are to load for the tasks of a plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.imports import Imports, imported_modules, preloads
from nbflow.core.spec import Preload, PreloadMode


def notebook(*sources: str, language: str = "python") -> dict[str, Any]:
    cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in sources]
    return {"cells": cells, "metadata": {"kernelspec": {"name": "k", "language": language}}}


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import pandas as pd, numpy", ("numpy", "pandas")),
        ("import matplotlib.pyplot as plt", ("matplotlib.pyplot",)),
        ("from sklearn.linear_model import Ridge", ("sklearn.linear_model",)),
        ("from pandas import *", ("pandas",)),
        ("from . import helpers\nfrom .helpers import x", ()),
        ("import os, json.decoder\nfrom collections.abc import Mapping", ()),
        ("def f():\n    import duckdb", ("duckdb",)),
        ("%matplotlib inline\nimport pandas\n!pip list", ("pandas",)),
        ("%%time\nimport pandas", ("pandas",)),
        ("%%bash\nimport pandas", ()),
        ("import pandas\nnot python at all", ()),
        ("'import pandas'  # import numpy", ()),
    ],
)
def test_imported_modules(source: str, modules: tuple[str, ...]) -> None:
    assert imported_modules(notebook(source)) == modules


def test_cells_are_read_one_by_one_and_each_module_is_named_once() -> None:
    document = notebook("import b", "?", "import a\nimport b")
    document["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "import c"})
    assert imported_modules(document) == ("a", "b")


def test_other_languages_import_nothing() -> None:
    assert imported_modules(notebook("import pandas", language="julia")) == ()


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.lists(st.text() | st.none()), max_size=3))
def test_odd_documents_are_no_error(document: dict[str, Any]) -> None:
    assert imported_modules({**document, "cells": [document, None]}) == ()


NOTEBOOKS = {
    "a.ipynb": Imports(kernel="python3", modules=("pandas",)),
    "b.ipynb": Imports(kernel="python3", modules=("numpy", "pandas")),
    "c.ipynb": Imports(kernel=None, modules=("polars",)),
}


class TestPreloads:
    def test_tasks_of_one_kernel_are_taken_together(self) -> None:
        found = preloads([("a.ipynb", None), ("b.ipynb", None), ("c.ipynb", "other")], NOTEBOOKS, {})
        assert found == {"python3": Preload(modules=("numpy", "pandas")), "other": Preload(modules=("polars",))}

    def test_a_task_may_name_another_kernel_than_its_notebook(self) -> None:
        assert preloads([("a.ipynb", "py")], NOTEBOOKS, {}) == {"py": Preload(modules=("pandas",))}

    def test_what_is_not_known_counts_for_nothing(self) -> None:
        assert preloads([("none.ipynb", "k"), ("c.ipynb", None)], NOTEBOOKS, {}) == {}

    @pytest.mark.parametrize("mode", [PreloadMode.GIVEN, PreloadMode.OFF])
    def test_what_is_declared_stands(self, mode: PreloadMode) -> None:
        declared = Preload(mode=mode, modules=("scipy",))
        found = preloads([("a.ipynb", None)], NOTEBOOKS, {"Python3": declared, "julia": declared})
        assert found == {"python3": declared}

    def test_auto_may_be_written_out(self) -> None:
        assert preloads([("a.ipynb", None)], NOTEBOOKS, {"python3": Preload()}) == {
            "python3": Preload(modules=("pandas",))
        }
