"""The simulator catches the bugs that are planted for it."""

from __future__ import annotations

import ast

import pytest

from simulation.plant_bugs import Bug, bugs, hunt, planted

named = pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.name)


@named
def test_a_bug_can_still_be_planted(bug: Bug) -> None:
    ast.parse(planted(bug))


def test_there_are_enough() -> None:
    assert len(bugs()) >= 15
    assert len({bug.name for bug in bugs()}) == len(bugs())


@pytest.mark.slow
@named
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    assert hunt(bug).proof, f"{bug.name}: no history showed it"
