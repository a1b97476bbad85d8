"""Notebooks in other languages on real kernels: values arrive exactly, outputs are kept, every end is told truly.

The kernelspecs are made here, in a folder of the test: nothing is installed in anybody's home.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nbflow.core.attempt import ErrorKind, Outcome, Verdict, WorkOrder
from nbflow.core.spec import Limits
from support.attempts import Bench, archived, bench, code, notebook, order, states, text
from support.languages import R_SHOW, need_irkernel, shown_by_r
from support.waiting import allowed

SPECS: Mapping[str, dict[str, Any]] = {
    "r": {"argv": ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"], "language": "R"},
    "bash": {
        "argv": [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"],
        "language": "bash",
        "env": {"PS1": "$"},
    },
    "by-message": {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "language": "python",
        "interrupt_mode": "message",
    },
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, spec in SPECS.items():
        folder = tmp_path / "jupyter/kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps({"display_name": name, **spec}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    with bench() as made:
        yield made


def order_of(folder: Path, kernel: str, *cells: str | dict[str, Any], **fields: Any) -> WorkOrder:
    """An order for a notebook in the language of a kernel."""
    document = notebook(*cells, kernel=kernel)
    document["metadata"]["kernelspec"]["language"] = SPECS[kernel]["language"]
    return order(folder, document=document, **fields)


def lines(cell: Mapping[str, Any]) -> list[str]:
    """What a cell printed, by lines."""
    return text(cell).removesuffix("\n").split("\n")


EVIL = 'it\'s "$HOME" `id` $(id) \\n \\\\ !x {{ }} #\n\tpříliš žluťoučký 😀 \x85\u2028\x1b[0m\x7f'
LARGE = "ě'" * 20_000

R_VALUES: dict[str, Any] = {
    "int": 5,
    "large": 2**53,
    "negative": -(2**31),
    "third": 1 / 3,
    "nan": float("nan"),
    "infinite": float("-inf"),
    "zero": -0.0,
    "yes": True,
    "none": None,
    "evil": EVIL,
    "empty": "",
    "long": LARGE,
    "file": PurePosixPath("data/a b.csv"),
    "day": date(2026, 1, 31),
    "at": datetime(2026, 1, 31, 6, tzinfo=UTC),
    "local": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
    "items": [1, None, [2.5, "ě", []], [None]],
    "nested": {"a b": {"c": [True, None]}, "none": None, "d": {}},
}

BASH_VALUES: dict[str, tuple[Any, str]] = {
    "small": (5, "5"),
    "large": (2**70, str(2**70)),
    "third": (1 / 3, "0.3333333333333333"),
    "nan": (float("nan"), "nan"),
    "infinite": (float("-inf"), "-inf"),
    "yes": (True, "true"),
    "evil": (EVIL, EVIL),
    "empty": ("", ""),
    "long": (LARGE, LARGE),
    "file": (PurePosixPath("data/a b.csv"), "data/a b.csv"),
    "day": (date(2026, 1, 31), "2026-01-31"),
    "at": (datetime(2026, 1, 31, 6, tzinfo=UTC), "2026-01-31T06:00:00+00:00"),
    "hour": (clock_time(6, 30), "06:30:00"),
}


class TestR:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        need_irkernel()

    def test_values_outputs_and_an_error(self, runs: Bench, tmp_path: Path) -> None:
        show = "\n".join(f"writeLines(.show({name}))" for name in R_VALUES)
        handed = 'list("application/vnd.nbflow.output.v1+json" = list(name = "rows", value = 10L))'
        cells = (
            code("int <- 0; evil <- NULL", "parameters"),
            R_SHOW + show,
            'message("to stderr")\ncat("to stdout\\n")',
            "data.frame(a = 1:2)\nplot(1)",
            f"IRdisplay::publish_mimebundle({handed})",
            'f <- function() stop("no such thing")\nf()',
            "1",
        )
        outcome, document = runs.run(order_of(tmp_path, "r", *cells, params=R_VALUES))
        assert states(document) == ["ok"] * 6 + ["failed", "not_run"]
        assert lines(document["cells"][2]) == [shown_by_r(value) for value in R_VALUES.values()]
        streams = {output["name"]: "".join(output["text"]).strip() for output in document["cells"][3]["outputs"]}
        assert streams == {"stderr": "to stderr", "stdout": "to stdout"}
        assert [set(output["data"]) & {"text/html", "image/png"} for output in document["cells"][4]["outputs"]] == [
            {"text/html"},
            {"image/png"},
        ]
        assert dict(outcome.outputs) == {"rows": 10}
        assert_failed(outcome, ErrorKind.EXCEPTION, 6, "no such thing")
        assert outcome.error is not None
        assert outcome.error.ename == "ERROR"
        assert document["cells"][6]["outputs"][0]["evalue"].startswith("Error in f(): no such thing")
        assert document["metadata"]["nbflow"]["environment"]["kernel_version"].startswith("IRkernel ")
        assert document["metadata"]["language_info"]["name"] == "R"
        assert document["metadata"]["nbflow"]["warnings"] == []

    @pytest.mark.parametrize(("source", "status"), [("quit(save = 'no', status = 3)", 3), ("q()", 0)])
    def test_the_status_of_quit(self, runs: Bench, tmp_path: Path, source: str, status: int) -> None:
        ended(runs, order_of(tmp_path, "r", "1", f"f <- function() {source}\nf()", "2"), status)


class TestBash:
    def test_values_outputs_and_an_error(self, runs: Bench, tmp_path: Path) -> None:
        show = "\n".join(f'printf %s "${name}" | od -An -v -tx1 | tr -d " \\n"; echo' for name in BASH_VALUES)
        items = ["a b", EVIL, "", 5]
        cells = (
            code("declare -i evil=5; export day=x; items=(1 2 3 4 5 6)", "parameters"),
            show,
            'printf "<%s>" "${items[@]}" | od -An -v -tx1 | tr -d " \\n"; env | grep ^day=',
            "for n in 1 2 3; do\n  echo $n\ndone\ncat <<END\nhere $small\nEND",
            "echo before\nls /no/such/folder",
            "echo after",
        )
        params = {**{name: value for name, (value, _) in BASH_VALUES.items()}, "items": items}
        outcome, document = runs.run(order_of(tmp_path, "bash", *cells, params=params))
        assert states(document) == ["ok"] * 5 + ["failed", "not_run"]
        assert lines(document["cells"][2]) == [wanted.encode().hex() for _, wanted in BASH_VALUES.values()]
        shown = "".join(f"<{item}>" for item in items).encode().hex()
        assert text(document["cells"][3]) == f"{shown}day=2026-01-31\n"
        assert lines(document["cells"][4]) == ["1", "2", "3", "here 5"]
        assert "before\n" in text(document["cells"][5])
        assert_failed(outcome, ErrorKind.EXCEPTION, 5, "the last command ended with exit code 2")
        late = "the kernel did not end when it was asked to, and was killed"  # Bash's takes its time
        assert set(document["metadata"]["nbflow"]["warnings"]) <= {late}

    def test_a_shell_that_ends_itself(self, runs: Bench, tmp_path: Path) -> None:
        """Its kernel starts another one, and says that all is well."""
        ended(runs, order_of(tmp_path, "bash", "true", "set -e\nfalse\necho on", "echo on"), 1)

    @pytest.mark.slow
    def test_a_shell_that_is_killed_behind_its_kernel(self, runs: Bench, tmp_path: Path) -> None:
        outcome, document = runs.run(order_of(tmp_path, "bash", "echo $$", "kill -9 $$", "echo $$"))
        assert_failed(outcome, ErrorKind.KERNEL_DIED, 1, "is gone")
        assert states(document) == ["ok", "killed", "not_run"]

    @pytest.mark.slow
    def test_a_quote_that_is_not_closed(self, runs: Bench, tmp_path: Path) -> None:
        """Its kernel chokes on it, and never replies."""
        began = time.monotonic()
        outcome, document = runs.run(order_of(tmp_path, "bash", "echo 'one", "echo two"))
        assert_failed(outcome, ErrorKind.EXCEPTION, 0, "input was incomplete")
        assert states(document) == ["failed", "not_run"]
        assert time.monotonic() - began < allowed(30)


@dataclass(frozen=True, slots=True)
class Language:
    """How a language says nothing, sleeps for a minute, and kills its kernel."""

    kernel: str
    ok: str
    sleep: str
    kill: str = ""


LANGUAGES = {
    "r": Language("r", "1", "cat('on')\nSys.sleep(60)", "tools::pskill(Sys.getpid(), 9)"),
    "bash": Language("bash", "true", "echo on\nsleep 60", "kill -9 $PPID"),
    "by-message": Language("by-message", "1", "print('on', flush=True)\nimport time; time.sleep(60)"),
}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    if request.param == "r":
        need_irkernel()
    return LANGUAGES[request.param]


class TestEnds:
    def test_a_cell_that_takes_too_long_is_interrupted(self, runs: Bench, tmp_path: Path, language: Language) -> None:
        limits = Limits(cell_timeout=2)
        outcome, document = runs.run(order_of(tmp_path, language.kernel, language.sleep, "1", limits=limits))
        assert_failed(outcome, ErrorKind.TIMEOUT, 0, "it was interrupted")
        assert states(document) == ["failed", "not_run"]
        assert text(document["cells"][0]).startswith("on")

    @pytest.mark.parametrize("language", ["r", pytest.param("bash", marks=pytest.mark.slow)], indirect=True)
    def test_cancel(self, runs: Bench, tmp_path: Path, language: Language) -> None:
        """Once the cell runs for certain: R is killed by an interrupt that comes before."""
        done = order_of(tmp_path, language.kernel, language.sleep, "1")
        watched = runs.submit(done)
        assert watched.printed.wait(30)
        runs.executor.cancel(done.task, done.attempt, force=False)
        assert watched.outcome().verdict is Verdict.CANCELLED
        assert states(archived(done)) == ["failed", "not_run"]
        runs.assert_clean(done)

    @pytest.mark.parametrize("language", ["r", pytest.param("bash", marks=pytest.mark.slow)], indirect=True)
    def test_a_kernel_that_is_killed(self, runs: Bench, tmp_path: Path, language: Language) -> None:
        done = order_of(tmp_path, language.kernel, language.ok, language.kill, language.ok)
        watched = runs.submit(done)
        outcome = watched.outcome()
        assert_failed(outcome, ErrorKind.KERNEL_DIED, 1, "SIGKILL")
        assert outcome.error is not None
        assert outcome.error.signal == 9
        assert states(archived(done)) == ["ok", "killed", "not_run"]
        if language.kernel == "r":
            # R removes the folder of its session itself, where it can; nobody else knows its name.
            (session,) = runs.temporary.iterdir()
            assert session.name.startswith("Rtmp")
            shutil.rmtree(session)
        runs.assert_clean(done)


def test_a_value_that_a_language_cannot_take_runs_nothing(runs: Bench, tmp_path: Path) -> None:
    """One that is known only in the run; all others are refused by `validate`."""
    cell = code("limits=()", "parameters")
    outcome, document = runs.run(order_of(tmp_path, "bash", cell, "touch ran", params={"limits": [1, {"max": 2}]}))
    assert_failed(outcome, ErrorKind.START_FAILED, None, "limits[1]: Bash has")
    assert set(states(document)) == {"not_run"}


def ended(runs: Bench, done: WorkOrder, status: int) -> None:
    """Run an order whose second cell ends the notebook with a status."""
    outcome, document = runs.run(done)
    if status:
        assert_failed(outcome, ErrorKind.EXITED, 1, f"exit code {status}")
    else:
        assert outcome.verdict is Verdict.SUCCEEDED
        assert outcome.stopped_at == 1
    assert states(document) == ["ok", "failed" if status else "ok", "not_run"]


def assert_failed(outcome: Outcome, kind: ErrorKind, cell: int | None, said: str) -> None:
    assert outcome.verdict is Verdict.FAILED
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.cell) == (kind, cell), outcome.error
    assert said in outcome.error.message
