"""The contract of whole notebooks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.contract import Contract, read_contract, read_imports
from nbflow.core.spec import ParamType


def cell(source: str | list[str], *tags: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}


def notebook(*cells: Mapping[str, Any], language: str = "python") -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {"kernelspec": {"language": language}}, "nbformat": 4}


def contract(*cells: Mapping[str, Any]) -> Contract:
    return read_contract(notebook(*cells))


def test_a_usual_notebook() -> None:
    document = notebook(
        cell("# Sales", kind="markdown"),
        cell("import pandas as pd\nfrom datetime import date"),
        cell(["# Parameters\n", "region = 'eu'  # Sales region\n", "day: date = date(2026, 1, 31)"], "parameters"),
        cell("df = pd.read_csv(f'{region}.csv')"),
    )
    found = read_contract(document)
    assert (found.has_cell, found.complete, found.language, found.cells) == (True, True, "python", 3)
    assert found.warnings == ()
    assert list(found.declared) == ["region", "day"]
    region = found.declared["region"]
    assert (region.type, region.default, region.description) == (ParamType.STR, "eu", "Sales region")
    assert (region.cell, region.line) == (2, 2)
    assert read_imports(document) == ("pandas", "datetime")


def test_the_document_and_the_contract_are_not_changed() -> None:
    document = notebook(cell("x = [1]", "parameters"))
    before = copy.deepcopy(document)
    found = read_contract(document)
    assert document == before
    with pytest.raises(TypeError):
        found.declared["y"] = found.declared["x"]  # type: ignore[index]


def test_without_a_parameters_cell_nothing_is_declared_for_certain() -> None:
    found = contract(cell("x = 1"))
    assert (found.has_cell, found.complete, dict(found.declared), found.cells) == (False, True, {}, 1)


def test_all_tagged_cells_form_one_contract() -> None:
    found = contract(cell("a = 1\nb = 1", "parameters"), cell("print(a)"), cell("b = 2\nc = 3", "x", "parameters"))
    assert {name: one.default for name, one in found.declared.items()} == {"a": 1, "b": 2, "c": 3}
    assert found.declared["b"].cell == 2
    assert found.warnings == ("cell 2 uses `a` above the parameters cell",)


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("print(region)", True),
        ("x = region + region", True),
        ("def f(a=region): pass", True),
        ("class C:\n    r = region", True),
        ("rows = [region for _ in x]", True),
        ("def f():\n    return region", False),
        ("f = lambda: region", False),
        ("region = 'us'\nprint(region)", False),
        ("for region in []:\n    print(region)", False),
        ("[region for region in []]", False),
        ("x.region", False),
        ("print('region')", False),
        ("this is no python region", False),
    ],
)
def test_names_used_above(source: str, used: bool) -> None:
    found = contract(cell(source), cell("region = 'eu'", "parameters"))
    assert found.warnings == (("cell 1 uses `region` above the parameters cell",) if used else ())


def test_a_name_bound_in_an_earlier_cell_above_is_another_variable() -> None:
    found = contract(cell("region = 'x'"), cell("print(region)"), cell("region = 'eu'", "parameters"))
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("source", "overwritten"),
    [
        ("region = 'us'", True),
        ("region: str = 'us'", True),
        ("a, region = 1, 2", True),
        ("for region in ['eu', 'us']: pass", True),
        ("with f() as region: pass", True),
        ("import region", True),
        ("def region(): pass", True),
        ("if debug:\n    region = 'us'", True),
        ("print(region := 'us')", True),
        ("%time\nregion = 'us'", True),
        ("region = region.lower()", False),
        ("region += '-x'", False),
        ("region = region or 'us'", False),
        ("def f():\n    region = 'us'", False),
        ("x = [region for region in y]", False),
        ("region.name = 1", False),
        ("regions = region", False),
        ("# region = 'us'", False),
        ("region = 'us' no python", False),
    ],
)
def test_cells_that_overwrite(source: str, overwritten: bool) -> None:
    found = contract(cell("region = 'eu'", "parameters"), cell("text", kind="markdown"), cell("1"), cell(source))
    assert found.warnings == (("cell 3 overwrites `region`",) if overwritten else ())


def test_several_warnings_keep_their_order() -> None:
    found = contract(cell("a"), cell("a = 1\nb = a * 2", "parameters"), cell("b = 5\na = 6"), cell("a = 7"))
    assert found.warnings == (
        "cell 1 uses `a` above the parameters cell",
        "b is derived from a in the parameters cell: it stays at its default; derive it below",
        "cell 3 overwrites `b`",
        "cell 3 overwrites `a`",
        "cell 4 overwrites `a`",
    )


def test_magics_in_the_parameters_cell() -> None:
    found = contract(cell("%matplotlib inline\nx = 1\n!ls", "parameters"))
    assert found.complete
    assert found.declared["x"].default == 1
    assert found.declared["x"].line == 2


@pytest.mark.parametrize("source", ["x = !ls", "%%bash\nx=1", "x = 1 +", "x <- c(1) %>% f", "files = %ls\nx = 1", "\0"])
def test_a_parameters_cell_that_is_not_python_makes_a_smaller_contract(source: str) -> None:
    found = contract(cell(source, "parameters"), cell("y = 2", "parameters"))
    assert not found.complete
    assert found.has_cell
    assert list(found.declared) == ["y"]
    assert found.warnings == ("cell 1 is not plain Python: its parameters are not known",)


def test_a_tag_on_a_cell_that_is_no_code() -> None:
    found = contract(cell("x = 1", "parameters", kind="markdown"))
    assert not found.has_cell
    assert found.warnings == ("cell 1 of the notebook is tagged `parameters` and is no code cell",)


@pytest.mark.parametrize("language", ["scala", "SQL", "matlab"])
def test_other_languages_are_not_read(language: str) -> None:
    found = read_contract(notebook(cell("x = 1", "parameters"), cell("x = 2"), language=language))
    assert found.language == language.lower()
    assert (found.has_cell, found.complete, dict(found.declared), found.warnings) == (True, False, {}, ())
    assert not read_contract(notebook(cell("x = 1"), language=language)).complete


@pytest.mark.parametrize("language", ["R", "julia", "bash"])
def test_plain_assignments_of_languages_that_can_be_written(language: str) -> None:
    x, y = ('"a"', '"b"') if language != "bash" else ("a", "b")
    cells = (cell(f"x={x}\n", "parameters"), cell("f(1)"), cell(f"x={y}  # Why\ny={x}", "parameters"), cell(f"x={x}"))
    found = read_contract(notebook(*cells, language=language))
    assert (found.has_cell, found.complete, found.language, found.warnings) == (True, True, language.lower(), ())
    assert {name: one.default for name, one in found.declared.items()} == {"x": "b", "y": "a"}
    assert (found.declared["x"].description, found.declared["x"].cell) == ("Why", 2)
    assert not read_contract(notebook(cell(f"x={x}\nf(2)", "parameters"), language=language)).complete
    without = read_contract(notebook(cell(f"x={x}"), language=language))
    assert (without.has_cell, without.complete, dict(without.declared)) == (False, True, {})


def test_nothing_is_run() -> None:
    source = "import os\nos.environ['NBFLOW_TEST_RAN'] = '1'\nx = print('ran') or 5\nraise SystemExit(3)\n"
    found = contract(cell(source, "parameters"))
    assert not found.declared["x"].has_default


@given(st.lists(st.text("abx=+-*/()[]{}'\"#:.,\n 0123%!ifordelc", max_size=40), max_size=4))
def test_any_cells_give_a_contract(sources: list[str]) -> None:
    found = contract(*(cell(source, *(["parameters"] if at % 2 else [])) for at, source in enumerate(sources)))
    assert found.has_cell is (len(sources) > 1)
    assert all("\n" not in warning for warning in found.warnings)
    for name, one in found.declared.items():
        assert one.name == name
        assert one.has_default or one.default is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["cells", "metadata", "source", "tags", "cell_type", "kernelspec"]), x)
        ),
        max_leaves=8,
    )
)
def test_any_document_gives_a_contract(value: Any) -> None:
    document = value if isinstance(value, dict) else {"cells": value}
    assert read_contract(document).cells >= 0
