"""How errors are told: to people on standard error, to programs as a document, to scripts by the exit code."""

from __future__ import annotations

import io
import json

import click
import pytest

from nbflow.cli.failures import BUG, fail, summary
from nbflow.cli.output import Output, Outputs
from nbflow.errors import (
    ConfigError,
    ConflictError,
    NbflowError,
    NotFoundError,
    Problem,
    UnreachableError,
    UsageError,
)


def told(error: Exception, *, as_json: bool = False) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    code = fail(error, Outputs(Output(out), Output(err), as_json))
    return code, out.getvalue(), err.getvalue()


def problem(**more: object) -> Problem:
    values = {"file": "pipelines.toml", "line": 3, "col": 5, "key": "pools.x", "message": "too small", **more}
    return Problem(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (NotFoundError("no"), 3),
        (ConflictError("no"), 4),
        (UnreachableError("no"), 6),
        (click.UsageError("no"), 2),
        (click.BadParameter("no"), 2),
        (KeyError("no"), BUG),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert told(error)[0] == code


def test_a_bug_is_no_code_of_the_contract() -> None:
    assert BUG not in {0, 1, 2, 3, 4, 5, 6, 130}


def test_people_read_the_message_and_the_hint() -> None:
    code, out, err = told(NotFoundError("there is no run 'x'", hint="list them with: nbflow runs"))
    assert (code, out) == (3, "")
    assert err == "error: there is no run 'x'\nhint: list them with: nbflow runs\n"


def test_further_lines_are_set_in_and_nothing_reaches_the_terminal() -> None:
    assert told(UsageError("one\ntwo \x1b[2J"))[2] == "error: one\n  two \\x1b[2J\n"


def test_programs_get_a_document_as_well() -> None:
    code, out, err = told(ConflictError("locked", hint="wait"), as_json=True)
    assert json.loads(out) == {"error": {"message": "locked", "hint": "wait", "exit_code": 4}}
    assert err.startswith("error: locked")
    assert code == 4


def test_all_problems_are_told_with_their_places() -> None:
    problems = [problem(source="  x = 0", hint="at least 1"), problem(file="other.toml", line=None, col=None)]
    code, out, err = told(ConfigError(problems), as_json=True)
    assert code == 2
    assert err == (
        "pipelines.toml:3:5: pools.x: too small\n    x = 0\n      ^\n  hint: at least 1\n"
        "other.toml: pools.x: too small\n"
        "error: 2 problems in pipelines.toml, other.toml\n"
    )
    document = json.loads(out)["error"]
    assert document["problems"][0] == {
        "file": "pipelines.toml",
        "line": 3,
        "col": 5,
        "key": "pools.x",
        "message": "too small",
        "hint": "at least 1",
    }
    assert document["message"] == "2 problems in pipelines.toml, other.toml"


def test_the_summary_names_the_files_with_the_most_problems() -> None:
    problems = [problem(file=name) for name in ("a", "b", "c", "d", "d")]
    assert summary(problems) == "5 problems in d, a, b, ..."
    assert summary([problem()]) == "1 problem in pipelines.toml"


def test_a_bug_shows_its_traceback_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug() -> Exception:
        try:
            raise ZeroDivisionError("oops")
        except ZeroDivisionError as error:
            return error

    monkeypatch.delenv("NBFLOW_DEBUG", raising=False)
    short = told(bug())[2]
    assert "bug of nbflow: ZeroDivisionError: oops" in short
    assert "NBFLOW_DEBUG" in short
    assert "Traceback" not in short
    monkeypatch.setenv("NBFLOW_DEBUG", "1")
    assert "Traceback" in told(bug())[2]


def test_every_error_class_is_told_by_its_own_code() -> None:
    for kind in NbflowError.__subclasses__():
        error = kind([]) if kind is ConfigError else kind("x")
        assert told(error)[0] == kind.exit_code


def test_programs_are_told_the_run_where_there_is_one() -> None:
    error = UnreachableError("no room")
    assert "run" not in json.loads(told(error, as_json=True)[1])
    error.run = "sales-1"
    assert json.loads(told(error, as_json=True)[1])["run"] == "sales-1"
