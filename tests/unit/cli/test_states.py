"""Every state of a run, a task, a plan and a check has a look, and no two of a kind look alike."""

from __future__ import annotations

from enum import StrEnum

import pytest

from nbflow.cli.states import look
from nbflow.core.plan import Action
from nbflow.core.status import RunStatus, TaskState
from nbflow.doctor import Finding


@pytest.mark.parametrize("kind", [TaskState, RunStatus, Action, Finding])
def test_each_state_has_a_look_of_its_own(kind: type[StrEnum]) -> None:
    looks = [look(state.value) for state in kind]
    assert all(one.glyph != "?" for one in looks)
    assert all(one.ascii.isascii() for one in looks)
    both_stopped = 1 if kind is RunStatus else 0
    assert len({one.glyph for one in looks}) == len(looks) - both_stopped
    assert len({one.word for one in looks}) == len(looks)


def test_an_unknown_state_is_shown_by_its_name() -> None:
    assert look("paused").word == "paused"
    assert look("paused").glyph == "?"
