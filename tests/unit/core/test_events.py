"""Events: their types' names, and that each survives its stored form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core.spec import Backoff, Limits, RetryPolicy
from support.build import created, planned
from support.strategies import instances


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(ev.TYPES.values())).flatmap(instances))
def test_every_event_survives_its_stored_form(event: Any) -> None:
    body = json.loads(json.dumps(ev.dump(event)))
    assert ev.load(ev.type_of(event), body) == event


@pytest.mark.parametrize(
    ("cls", "kind"),
    [(ev.RunCreated, "run_created"), (ev.AttemptSubmitted, "attempt_submitted"), (ev.CellEnded, "cell_ended")],
)
def test_types_are_names_in_snake_case(cls: type[ev.Event], kind: str) -> None:
    assert ev.TYPES[kind] is cls


def test_the_plan_is_in_the_first_event() -> None:
    task = planned(
        "train[ridge,eu]",
        "clean",
        matrix={"model": "ridge"},
        retry=RetryPolicy(retries=2, backoff=Backoff.EXPONENTIAL, on=("timeout",)),
        limits=Limits(timeout=60.0, start_timeout=None),
        max_parallel=2,
    )
    event = created([planned("clean"), task], pools={"warehouse": 2}, timeout=60.0)
    loaded = ev.load("run_created", json.loads(json.dumps(ev.dump(event))))
    assert isinstance(loaded, ev.RunCreated)
    assert loaded.plan.tasks[1] == task


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(KeyError):
        ev.load("from_the_future", {})
