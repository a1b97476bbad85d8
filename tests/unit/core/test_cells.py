"""Cells of notebook documents: whatever people's files hold, there is an answer and no exception."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.cells import MAX_SOURCE, code_cells, is_parameters, language_of, parse, read_imports


def code(source: Any, *tags: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}


def test_code_cells_are_numbered_as_people_count_them() -> None:
    document = {
        "cells": [
            {"cell_type": "markdown", "source": "# Title", "metadata": {}},
            code(["a = 1\n", "b = 2"], "parameters"),
            {"cell_type": "raw", "source": ""},
            code("c = 3"),
        ]
    }
    first, second = code_cells(document)
    assert (first.index, first.number, first.source, first.is_parameters) == (1, 1, "a = 1\nb = 2", True)
    assert (second.index, second.number, second.source, second.is_parameters) == (3, 2, "c = 3", False)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"cells": None},
        {"cells": "x"},
        {"cells": {"a": 1}},
        {"cells": [None, 1, "x", [], {}]},
        {"cells": [{"cell_type": 5}, {"cell_type": "markdown"}]},
        {"worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]},
    ],
)
def test_documents_without_cells(document: dict[str, Any]) -> None:
    assert code_cells(document) == ()


@pytest.mark.parametrize("source", [None, 5, {"a": 1}, [1, None], []])
def test_a_source_that_is_no_text_is_empty(source: Any) -> None:
    [cell] = code_cells({"cells": [{"cell_type": "code", "source": source}]})
    assert cell.source == ""


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ({"metadata": {"tags": ["parameters"]}}, True),
        ({"metadata": {"tags": ["a", "parameters", 5]}}, True),
        ({"metadata": {"tags": "parameters"}}, False),
        ({"metadata": {"tags": ["Parameters", "injected-parameters"]}}, False),
        ({"metadata": {"tags": None}}, False),
        ({"metadata": None}, False),
        ({"tags": ["parameters"]}, False),
    ],
)
def test_the_tag(cell: dict[str, Any], found: bool) -> None:
    assert is_parameters(cell) is found


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        (None, "python"),
        ({}, "python"),
        ({"kernelspec": {"language": "R"}}, "r"),
        ({"kernelspec": {"language": "julia"}, "language_info": {"name": "python"}}, "julia"),
        ({"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}, "r"),
        ({"kernelspec": {"language": ""}, "language_info": {"name": "bash"}}, "bash"),
        ({"kernelspec": {"language": "Python 3"}}, "python 3"),
        ({"language_info": {"name": "ipython"}}, "python"),
        ({"kernelspec": "python3", "language_info": ["x"]}, "python"),
        ({"kernelspec": {"language": 5}}, "python"),
    ],
)
def test_language(metadata: Any, language: str) -> None:
    assert language_of({"metadata": metadata}) == language


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "",
        "# only a comment",
        "await thing()\nx = 1",
        "%matplotlib inline\nx = 1",
        "!ls\nx = 1\n!pip list",
        "%%time\nx = 1",
        "%%capture out\nx = 1",
        "if True:\n    %time f()\nx = 1",
        "x = 1\r\n%time\r\ny = 2\r\n",
    ],
)
def test_python_with_magics(source: str) -> None:
    found = parse(source)
    assert found is not None
    assert found.text.count("\n") == source.replace("\r\n", "\n").count("\n")
    names = [node.id for node in ast.walk(found.tree) if isinstance(node, ast.Name)]
    assert "x" in names or "x" not in source


@pytest.mark.parametrize(
    "source",
    [
        "x <- c(1) %>% f",
        "%%bash\nx=1",
        "%%writefile a.py\nx = 1",
        "%%html\nx = 1",
        "%%timeit\nx = 1",
        "x = !ls",
        "x = %pwd",
        "df?",
        "?df",
        "%time f( \\\n  1)\nx = 1",
        "x = (1\n!ls\n)",
        "x = 1 +\n",
        "x = '\n",
        "\0",
        "def",
        "(" * 10_000,
        "-" * 100_000 + "1",
        "x = 1\n" * (MAX_SOURCE // 6 + 1),
    ],
)
def test_what_is_not_certain_to_be_python_is_not_read(source: str) -> None:
    assert parse(source) is None


def test_a_line_of_text_that_looks_like_a_magic_is_text() -> None:
    found = parse('fmt = """\n%d rows\n!important\n"""')
    assert found is not None
    assert "%d rows" in found.text
    assert parse('%matplotlib inline\nfmt = """\n%d rows\n"""') is None


def test_odd_escapes_warn_nobody(recwarn: pytest.WarningsRecorder) -> None:
    assert parse(r"pattern = '\d'") is not None
    assert not recwarn


def test_imports_in_order_of_appearance() -> None:
    document = {
        "cells": [
            code("import pandas as pd, numpy.linalg\nfrom os import path"),
            code("x <- 5"),
            {"cell_type": "markdown", "source": "import nothing"},
            code("%matplotlib inline\ntry:\n    import pandas.io\nexcept ImportError:\n    from . import local\n"),
            code("def f():\n    from my_module.sub import x\n"),
        ]
    }
    assert read_imports(document) == ("pandas", "numpy", "os", "my_module")
    assert read_imports({**document, "metadata": {"kernelspec": {"language": "R"}}}) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
cells = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.just("code") | json_values,
        "metadata": st.fixed_dictionaries({}, optional={"tags": st.just(["parameters"]) | json_values}) | json_values,
        "source": st.text(max_size=30) | st.lists(st.text(max_size=10), max_size=3) | json_values,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "cells": st.lists(cells | json_values, max_size=4) | json_values,
        "metadata": st.fixed_dictionaries({}, optional={"kernelspec": json_values, "language_info": json_values})
        | json_values,
    },
)


@given(documents)
def test_no_document_raises(document: dict[str, Any]) -> None:
    for cell in code_cells(document):
        parse(cell.source)
    read_imports(document)
    assert language_of(document) == language_of(document).lower()
