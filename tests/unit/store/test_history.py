"""What a store is asked in SQL. What it answers is the matter of the conformance suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from nbflow.errors import UnreachableError
from nbflow.store.history import SqlHistory


class Asked:
    """Answers each statement with the same rows."""

    def __init__(self, *rows: Any) -> None:
        self.answer = rows
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        self.heard.append((name, dict(values)))
        return self.answer


def history(asked: Asked) -> SqlHistory:
    instants = iter(range(100))
    return SqlHistory(asked, "the place", clock=lambda: {"now": next(instants)}, listed=tuple)


def test_what_leases_are_judged_by_is_asked_each_time() -> None:
    asked = Asked()
    found = history(asked)
    assert (found.run("r"), found.going(), found.pools("r")) == (None, [], [])
    assert asked.heard == [
        ("read_run", {"run": "r", "now": 0}),
        ("read_going", {"now": 1}),
        ("read_pools", {"run": "r", "now": 2}),
    ]


def test_lists_are_bound_as_the_database_has_them() -> None:
    asked = Asked()
    history(asked).runs(states=["failed", "cancelled"])
    history(asked).runs(pipeline="p", limit=-3)
    (name, values), (of_pipeline, others) = asked.heard
    assert (name, values["states"], values["limit"]) == ("read_runs", ("failed", "cancelled"), 100)
    assert (of_pipeline, others["states"], others["limit"]) == ("read_runs_of_pipeline", None, 0)


def test_what_cannot_be_read_names_the_place() -> None:
    with pytest.raises(UnreachableError, match="the place: the store holds something"):
        history(Asked(("{",))).task_rows("r")
