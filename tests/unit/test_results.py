"""What a run came to."""

from __future__ import annotations

import json

import pytest

from nbflow.results import RunResult


@pytest.mark.parametrize(
    ("state", "stopped", "code"),
    [
        ("succeeded", None, 0),
        ("failed", None, 1),
        ("failed", "timeout", 5),
        ("succeeded", "timeout", 0),
        ("cancelled", "cancel", 5),
        ("interrupted", "interrupt", 130),
    ],
)
def test_exit_code(state: str, stopped: str | None, code: int) -> None:
    result = RunResult(run="p-1", state=state, stopped=stopped, tasks=[])
    assert result.exit_code == code
    assert result.ok is (code == 0)


def test_it_is_the_document() -> None:
    result = RunResult(run="p-1", state="succeeded", tasks=[{"task": "a", "state": "succeeded"}])
    assert json.loads(json.dumps(result)) == result
    assert result.run == "p-1"
    assert result.task("a")["state"] == "succeeded"
    with pytest.raises(KeyError):
        result.task("b")
