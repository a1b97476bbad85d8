"""Every scenario file: the events that it tells, in the order that it tells, and the oracle's agreement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbflow.core import events as ev
from nbflow.core.decide import react
from nbflow.core.state import fold
from simulation.oracle import Oracle
from support.build import NOON, RUN, after
from support.notation import line
from support.scenarios import FOLDER, load

FILES = sorted(FOLDER.glob("*.json"))


def through_json(stamped: ev.Stamped) -> ev.Stamped:
    kind, body = ev.type_of(stamped.event), json.loads(json.dumps(ev.dump(stamped.event)))
    return ev.Stamped(run=RUN, seq=stamped.seq, at=stamped.at, event=ev.load(kind, body))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = load(path)
    created = scenario.case.created()
    history = [ev.Stamped(run=RUN, seq=1, at=NOON, event=created)]
    state, oracle = fold(history), Oracle(created, scenario.case.seconds)
    for one in scenario.steps:
        if one.crash:
            state = fold(map(through_json, history))
        events = react(state, one.send, after(one.at))
        history += events
        if one.expect is not None:
            assert [line(stamped) for stamped in events] == list(one.expect), f"at {one.at}"
        oracle.batch(events, after(one.at), one.send)
        assert {name: task.state for name, task in state.tasks.items()} == oracle.states()
    if scenario.ends is not None:
        assert {"run": state.status, **oracle.states()} == scenario.ends


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 12
