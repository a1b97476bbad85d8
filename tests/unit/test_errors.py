"""What a user may see."""

from __future__ import annotations

import pytest

from nbflow import errors
from nbflow.errors import ConfigError, Problem


def test_a_problem_reads_as_place_key_message_caret_and_hint() -> None:
    problem = Problem(
        file="pipelines.toml",
        line=3,
        col=5,
        key="pipelines.p.tasks.a.need",
        message="unknown key",
        hint="did you mean 'needs'?",
        source="a = { need = [] }",
    )
    assert str(problem).splitlines() == [
        "pipelines.toml:3:5: pipelines.p.tasks.a.need: unknown key",
        "  a = { need = [] }",
        "      ^",
        "  hint: did you mean 'needs'?",
    ]


def test_a_problem_without_a_place() -> None:
    assert str(Problem(file="a.toml", line=None, col=None, key="", message="is missing")) == "a.toml: is missing"


def test_a_config_error_tells_all_problems() -> None:
    problems = [Problem(file="f", line=n, col=None, key="k", message="m") for n in (1, 2)]
    assert str(ConfigError(problems)) == "f:1: k: m\nf:2: k: m"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("UsageError", 2), ("ConfigError", 2), ("NotFoundError", 3), ("ConflictError", 4), ("UnreachableError", 6)],
)
def test_exit_codes(kind: str, code: int) -> None:
    assert getattr(errors, kind).exit_code == code
