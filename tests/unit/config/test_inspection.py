"""What papermill finds in the parameters cells of languages that nbflow does not read."""

from __future__ import annotations

from typing import Any

import pytest
from papermill.translators import PythonTranslator, ScalaTranslator, papermill_translators

from nbflow.config.inspection import inspect
from nbflow.core.contract import read_contract
from nbflow.core.spec import ParamType
from support.folders import document


def inspected(made: dict[str, Any]) -> list[tuple[str, ParamType, str | None, bool]]:
    return [(one.name, one.type, one.description, one.has_default) for one in inspect(made, read_contract(made))]


def test_a_translator_that_looks_for_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(ScalaTranslator):
        @classmethod
        def inspect(cls, parameters_cell: Any) -> Any:
            return PythonTranslator.inspect(parameters_cell)

    monkeypatch.setitem(papermill_translators._translators, "scala", Reader)
    made = document("limit: int = 5 # How many\nodd = f(1)", kernel="spylon", language="scala")
    assert inspected(made) == [("limit", ParamType.INT, "How many", False), ("odd", ParamType.ANY, None, False)]


@pytest.mark.parametrize("language", ["scala", "matlab", "sql", "no such language"])
def test_one_that_does_not(language: str) -> None:
    assert inspected(document("x = 1", kernel="some", language=language)) == []


def test_what_is_read_by_nbflow_is_not_asked_for() -> None:
    assert inspected(document("%%bash\nx = 1")) == []
    assert inspected(document("x <- f()", language="R")) == []
    assert inspected(document(None, language="scala")) == []
