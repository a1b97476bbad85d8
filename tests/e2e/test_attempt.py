"""One attempt on a real kernel: what it leaves is true, whatever the notebook does."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.core.attempt import CellState, ErrorKind, Outcome, Verdict
from nbflow.core.messages import CellDone, CellStart, Finished, Started
from nbflow.core.spec import Limits, Preload
from nbflow.core.values import decode
from support.attempts import Bench, archived, bench, code, notebook, order, states, text
from support.waiting import allowed

STALE = [{"output_type": "stream", "name": "stdout", "text": "from another day"}]


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(ahead=True) as made:
        yield made


def without_facts(document: dict[str, Any]) -> dict[str, Any]:
    """A document but for the key `nbflow`."""
    for part in [document, *document["cells"]]:
        part["metadata"].pop("nbflow", None)
    return document


class TestWhatIsLeft:
    def test_a_notebook_that_succeeds(self, runs: Bench, tmp_path: Path) -> None:
        markdown = {"cell_type": "markdown", "metadata": {"mine": 1}, "source": "# Title"}
        cells = (markdown, "a = 1\nprint('one')", code("a + 1", "kept", outputs=STALE, execution_count=7))
        done = order(tmp_path, *cells)
        watched = runs.submit(done)
        outcome, document = watched.outcome(), archived(done)
        runs.assert_clean(done)

        assert outcome.verdict is Verdict.SUCCEEDED
        assert outcome.error is None
        assert (outcome.cells.total, outcome.cells.ok) == (2, 2)
        assert outcome.kernel == "python3"
        assert 0 < outcome.duration < 60
        assert [file.path for file in outcome.files] == ["sales/sales-1/clean.ipynb", "sales/sales-1/clean.html"]
        kinds = [type(report) for report in watched.reports]
        assert kinds == [Started, CellStart, CellDone, CellStart, CellDone, Finished]
        first = watched.reports[2]
        assert isinstance(first, CellDone)
        assert (first.cell, first.number, first.state, first.preview) == (1, 1, CellState.OK, "one\n")

        nbformat.validate(document)
        assert document["cells"][0] == {"id": "cell-0", **markdown, "source": ["# Title"]}
        _, one, two = document["cells"]
        assert text(one) == "one\n"
        assert text(two) == "2"
        assert (one["execution_count"], two["execution_count"]) == (1, 2)
        assert set(two["metadata"]) == {"tags", "nbflow"}
        assert set(two["metadata"]["nbflow"]) == {"state", "start", "end", "duration", "cpu_seconds", "peak_memory"}
        assert document["metadata"]["kernelspec"]["display_name"] != "Some kernel"
        assert document["metadata"]["language_info"]["name"] == "python"
        facts = document["metadata"]["nbflow"]
        assert (facts["run"], facts["task"], facts["attempt"], facts["state"]) == ("sales-1", "clean", 1, "succeeded")
        assert facts["error"] is None
        assert facts["warnings"] == []
        assert facts["environment"]["kernel"] == "python3"

    def test_the_file_is_what_jupyter_would_write_and_the_same_every_time(self, runs: Bench, tmp_path: Path) -> None:
        cells = ("value = 1", "print('é\\ntwo')\n{'a': 'b'}")
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        first = order(tmp_path / "first", *cells, document=notebook(code("value = 0", "parameters"), *cells))
        second = order(tmp_path / "second", *cells, document=notebook(code("value = 0", "parameters"), *cells))
        documents = []
        for one in (first, second):
            _, document = runs.run(
                order(
                    Path(one.outputs).parent, params={"value": 5}, document=json.loads(Path(one.notebook).read_text())
                )
            )
            data = (Path(one.outputs) / "sales/sales-1/clean.ipynb").read_text("utf-8")
            assert data == nbformat.writes(nbformat.reads(data, as_version=4)) + "\n"
            documents.append(without_facts(document))
        assert documents[0] == documents[1]

    def test_cells_after_a_failure_show_nothing(self, runs: Bench, tmp_path: Path) -> None:
        stale = code("print('later')", outputs=STALE, execution_count=3)
        stale["metadata"]["execution"] = {"iopub.status.busy": "2020-01-01T00:00:00Z"}
        outcome, document = runs.run(order(tmp_path, "print('before')", "1 / 0", stale))
        assert outcome.verdict is Verdict.FAILED
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.cell, outcome.error.ename) == (
            ErrorKind.EXCEPTION,
            1,
            "ZeroDivisionError",
        )
        assert outcome.error.message == "ZeroDivisionError: division by zero"
        assert (outcome.cells.ok, outcome.cells.failed, outcome.cells.not_run) == (1, 1, 1)
        assert states(document) == ["ok", "failed", "not_run"]
        last = document["cells"][2]
        assert last["outputs"] == []
        assert last["execution_count"] is None
        assert last["metadata"] == {"nbflow": {"state": "not_run"}}
        assert document["metadata"]["nbflow"]["error"]["cell"] == 1

    def test_an_earlier_attempt_makes_way(self, runs: Bench, tmp_path: Path) -> None:
        runs.run(order(tmp_path, "1 / 0"))
        journal = str(tmp_path / "outputs/.nbflow/journals/sales-1/clean.2.jsonl")
        _, document = runs.run(order(tmp_path, "2", attempt=2, journal=journal))
        folder = tmp_path / "outputs/sales/sales-1"
        assert document["metadata"]["nbflow"]["attempt"] == 2
        assert archived(order(tmp_path), "sales/sales-1/attempts/clean.1.ipynb")["metadata"]["nbflow"]["attempt"] == 1
        assert sorted(file.name for file in (folder / "attempts").iterdir()) == ["clean.1.html", "clean.1.ipynb"]

    def test_odd_paths(self, runs: Bench, tmp_path: Path) -> None:
        folder = tmp_path / "-a {run} 100% é"
        folder.mkdir()
        outcome, document = runs.run(order(folder, "import os\nprint(os.getcwd())"))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert text(document["cells"][0]).strip() == str(folder / "project")

    def test_an_old_notebook_without_ids(self, runs: Bench, tmp_path: Path) -> None:
        _, document = runs.run(order(tmp_path, document=notebook("1", minor=4)))
        assert document["nbformat_minor"] == 4
        assert "id" not in document["cells"][0]
        nbformat.validate(document)

    def test_a_source_that_has_changed_is_recorded(self, runs: Bench, tmp_path: Path) -> None:
        _, document = runs.run(order(tmp_path, "1", sha256="0" * 64))
        assert document["metadata"]["nbflow"]["source"]["changed"] is True


class TestParameters:
    def test_they_arrive_as_they_were_given_after_the_last_parameters_cell(self, runs: Bench, tmp_path: Path) -> None:
        cells = (
            "top = 1",
            code("day = None", "parameters"),
            code("limit = 0", "parameters"),
            "print(repr(day), limit + 1)",
        )
        outcome, document = runs.run(order(tmp_path, *cells, params={"day": date(2026, 1, 31), "limit": 41}))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert document["cells"][3]["metadata"]["tags"] == ["injected-parameters"]
        assert document["cells"][3]["id"]
        assert text(document["cells"][4]) == "datetime.date(2026, 1, 31) 42\n"
        assert document["metadata"]["nbflow"]["parameters"] == {"day": "2026-01-31", "limit": 41}

    @pytest.mark.parametrize(
        ("cells", "params", "said"),
        [
            (("1",), {"a": 1}, "no code cell is tagged `parameters`"),
            ((code("a = 1", "parameters"),), {"b": 1}, "does not declare the parameter 'b'"),
            ((code("a = 1", "parameters"),), {"a = 1; import os; b": 1}, "a = 1; import os; b"),
        ],
    )
    def test_what_cannot_be_injected_is_refused(
        self, runs: Bench, tmp_path: Path, cells: tuple[Any, ...], params: dict[str, object], said: str
    ) -> None:
        outcome, document = runs.run(order(tmp_path, *cells, params=params))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.START_FAILED
        assert said in outcome.error.message
        assert set(states(document)) == {"not_run"}


class TestEnds:
    @pytest.mark.parametrize("call", ["import sys; sys.exit()", "import sys; sys.exit(0)", "exit()", "quit()"])
    def test_an_early_end_on_purpose_is_a_success(self, runs: Bench, tmp_path: Path, call: str) -> None:
        outcome, document = runs.run(order(tmp_path, "1", call, "print('never')"))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert outcome.stopped_at == 1
        assert states(document) == ["ok", "ok", "not_run"]

    @pytest.mark.parametrize(("code_", "said"), [("3", "exit code 3"), ("'no data'", 'the message "no data"')])
    def test_any_other_exit_is_a_failure(self, runs: Bench, tmp_path: Path, code_: str, said: str) -> None:
        outcome, document = runs.run(order(tmp_path, f"import sys; sys.exit({code_})", "1"))
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.ename) == (ErrorKind.EXITED, "SystemExit")
        assert said in outcome.error.message
        assert states(document) == ["failed", "not_run"]

    def test_tags_and_empty_cells(self, runs: Bench, tmp_path: Path) -> None:
        """With a cell that papermill takes away from what it reads: all the others keep their places."""
        papermills = {"cell_type": "markdown", "source": "red", "metadata": {"tags": ["papermill-error-cell-tag"]}}
        cells = (
            papermills,
            code("1 / 0", "raises-exception"),
            code("1", "raises-exception"),
            code("1 / 0", "skip-execution"),
            "  \n",
            "# only a comment",
        )
        outcome, document = runs.run(order(tmp_path, *cells))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert states(document) == ["ok", "ok", "skipped", "skipped", "ok"]
        assert document["cells"][0]["source"] == ["red"]
        assert document["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"
        assert document["cells"][3]["metadata"]["nbflow"] == {"state": "skipped"}
        assert document["metadata"]["nbflow"]["warnings"] == ["cell 2 is tagged raises-exception and did not raise"]

    @pytest.mark.parametrize(
        ("source", "ename"),
        [
            ("input()", "StdinNotImplementedError"),
            ("%nosuchmagic", "UsageError"),
            ("class A:\n    def __repr__(self): 1 / 0\nA()", "ZeroDivisionError"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()", "ZeroDivisionError"),
        ],
    )
    def test_other_ways_to_fail(self, runs: Bench, tmp_path: Path, source: str, ename: str) -> None:
        outcome, _ = runs.run(order(tmp_path, source))
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.ename) == (ErrorKind.EXCEPTION, ename)

    def test_a_cell_that_takes_too_long_is_interrupted(self, runs: Bench, tmp_path: Path) -> None:
        limits = Limits(cell_timeout=0.5)
        outcome, document = runs.run(order(tmp_path, "import time\nprint('on')\ntime.sleep(60)", "1", limits=limits))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.TIMEOUT
        assert "cell_timeout" in outcome.error.message
        assert states(document) == ["failed", "not_run"]
        assert "on\n" in text(document["cells"][0])

    def test_a_notebook_that_takes_too_long(self, runs: Bench, tmp_path: Path) -> None:
        cells = ("import time", *["time.sleep(0.7)"] * 9)
        outcome, document = runs.run(order(tmp_path, *cells, limits=Limits(timeout=3)))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.TIMEOUT
        assert "(timeout)" in outcome.error.message
        assert states(document)[-1] == "not_run"

    def test_cancel(self, runs: Bench, tmp_path: Path) -> None:
        done = order(tmp_path, "import time\ntime.sleep(60)", "1")
        watched = runs.submit(done)
        assert watched.started.wait(30)
        runs.executor.cancel(done.task, done.attempt, force=False)
        outcome = watched.outcome()
        assert outcome.verdict is Verdict.CANCELLED
        assert outcome.error is None
        assert states(archived(done)) == ["failed", "not_run"]
        assert archived(done)["metadata"]["nbflow"]["state"] == "cancelled"
        runs.assert_clean(done)

    def test_cancel_by_force_does_not_ask(self, runs: Bench, tmp_path: Path) -> None:
        stubborn = "while True:\n    try:\n        import time; time.sleep(60)\n    except KeyboardInterrupt: pass"
        done = order(tmp_path, stubborn, "1")
        watched = runs.submit(done)
        assert watched.started.wait(30)
        began = time.monotonic()
        runs.executor.cancel(done.task, done.attempt, force=True)
        assert watched.outcome().verdict is Verdict.CANCELLED
        assert time.monotonic() - began < allowed(5)
        assert states(archived(done)) == ["killed", "not_run"]
        runs.assert_clean(done)


class TestOutput:
    def test_streams_displays_and_clearing(self, runs: Bench, tmp_path: Path) -> None:
        shown = "from IPython.display import display, clear_output, HTML\n"
        cells = (
            "import sys, time\nfor n in range(3):\n    print(n, flush=True); time.sleep(0.05)",
            "print('good')\nprint('bad', file=sys.stderr)",
            shown + "handle = display('old', display_id='one')",
            "handle.update('new')",
            shown + "print('gone')\nclear_output(wait=True)\nprint('kept')",
            shown + "print('stays')\nclear_output(wait=True)",
        )
        _, document = runs.run(order(tmp_path, *cells))
        assert document["cells"][0]["outputs"] == [
            {"output_type": "stream", "name": "stdout", "text": ["0\n", "1\n", "2\n"]}
        ]
        assert {output["name"] for output in document["cells"][1]["outputs"]} == {"stdout", "stderr"}
        assert document["cells"][2]["outputs"][0]["data"]["text/plain"] == ["'new'"]
        assert document["cells"][3]["outputs"] == []
        assert text(document["cells"][4]) == "kept\n"
        assert text(document["cells"][5]) == "stays\n"

    def test_a_flood_keeps_its_head_and_its_tail(self, runs: Bench, tmp_path: Path) -> None:
        outcome, document = runs.run(order(tmp_path, "print('<head>' + 'x' * 30_000_000 + '<tail>')", "print('after')"))
        assert outcome.verdict is Verdict.SUCCEEDED
        found = text(document["cells"][0])
        assert found.startswith("<head>")
        assert found.endswith("<tail>\n")
        assert "[truncated: 29,000,013 characters of stdout are left out here; all of it is" in found
        assert len(found) < 1_000_200
        assert Path(order(tmp_path).journal).stat().st_size < 2_000_000
        assert text(document["cells"][1]) == "after\n"

    def test_late_output_goes_to_its_own_cell(self, runs: Bench, tmp_path: Path) -> None:
        """Told by its parent message; ipykernel gives a display of a thread the cell that started the thread."""
        late = """
        import asyncio
        from IPython.display import display
        async def work():
            await asyncio.sleep(0.3)
            display("late")
        task = asyncio.ensure_future(work())
        """
        _, document = runs.run(order(tmp_path, textwrap.dedent(late), "await task\nprint('now')"))
        assert "late" in text(document["cells"][0])
        assert text(document["cells"][1]) == "now\n"

    def test_what_exit_handlers_print_is_kept(self, runs: Bench, tmp_path: Path) -> None:
        _, document = runs.run(order(tmp_path, "import atexit; atexit.register(print, 'goodbye')\nNone"))
        assert "goodbye\n" in text(document["cells"][0])

    def test_widgets_are_saved_even_when_the_notebook_fails(self, runs: Bench, tmp_path: Path) -> None:
        cells = (
            "import ipywidgets as w\nslider = w.IntSlider(value=3)\nslider",
            "slider.value = 7\nout = w.Output()\nwith out:\n    print('inside')\n    print('more')\nout",
            "1 / 0",
        )
        outcome, document = runs.run(order(tmp_path, *cells))
        assert outcome.verdict is Verdict.FAILED
        state = document["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
        models = {model["model_name"]: model["state"] for model in state.values()}
        assert models["IntSliderModel"]["value"] == 7
        assert [output["text"] for output in models["OutputModel"]["outputs"]] == ["inside\nmore\n"]
        assert "inside" not in text(document["cells"][1])

    def test_nothing_is_drawn_from_warnings_of_messages(self, runs: Bench, tmp_path: Path) -> None:
        """Every message of an ordinary notebook is understood: none ends as a warning."""
        plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
        _, document = runs.run(order(tmp_path, plot, "import pandas\npandas.DataFrame({'a': [1]})"))
        assert document["metadata"]["nbflow"]["warnings"] == []
        assert "image/png" in document["cells"][0]["outputs"][-1]["data"]


class TestValues:
    def test_values_are_handed_on_with_their_types(self, runs: Bench, tmp_path: Path) -> None:
        source = "import nbflow, datetime\nnbflow.output('rows', 10)\nnbflow.output('day', datetime.date(2026, 1, 31))"
        outcome, document = runs.run(order(tmp_path, source, "nbflow.output('rows', 11)"))
        assert {name: decode(value) for name, value in outcome.outputs.items()} == {
            "rows": 11,
            "day": date(2026, 1, 31),
        }
        assert text(document["cells"][1]) == "rows = 11"
        assert document["metadata"]["nbflow"]["outputs"] == {"rows": 11, "day": "2026-01-31"}

    def test_one_that_cannot_be_handed_on_fails_its_cell(self, runs: Bench, tmp_path: Path) -> None:
        bundle = "{'application/vnd.nbflow.output.v1+json': {'name': '../x', 'value': 1}}"
        source = f"from IPython.display import display\ndisplay({bundle}, raw=True)"
        outcome, document = runs.run(order(tmp_path, source, "1"))
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.cell) == (ErrorKind.EXCEPTION, 0)
        assert "'../x' is not a name" in outcome.error.message
        assert states(document) == ["failed", "not_run"]
        assert "is not a name" in text(document["cells"][0])

    def test_where_the_notebook_is(self, runs: Bench, tmp_path: Path) -> None:
        source = "import nbflow\nr = nbflow.run\nprint(r.id, r.pipeline, r.task, r.attempt, r.logical_date.isoformat())"
        _, document = runs.run(order(tmp_path, source))
        assert text(document["cells"][0]) == "sales-1 sales clean 1 2026-01-31T05:00:00+00:00\n"


class TestSurroundings:
    def test_nothing_changes_results_behind_the_back(
        self, runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        startup = tmp_path / "startup.py"
        startup.write_text("started = True")
        config = tmp_path / "ipython/profile_default"
        (config / "startup").mkdir(parents=True)
        (config / "startup/00.py").write_text("started = True")
        monkeypatch.setenv("PYTHONSTARTUP", str(startup))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        monkeypatch.setenv("MPLBACKEND", "svg")
        shown = "import os\nprint('started' in dir(), os.environ.get('MPLBACKEND'))\n"
        done = order(tmp_path, shown + "get_ipython().history_manager.enabled")
        for name in ("ipython_config.py", "jupyter_config.py", "json.py"):
            (Path(done.root) / name).write_text("raise SystemExit('loaded from the project')")
        outcome, document = runs.run(done)
        assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
        assert "False module://matplotlib_inline" in text(document["cells"][0])
        assert text(document["cells"][0]).endswith("False")  # no history of other sessions

    def test_sockets_are_private_and_there_is_no_port(self, runs: Bench, tmp_path: Path) -> None:
        source = """
        import json, os, stat
        from ipykernel.connect import get_connection_file
        file = get_connection_file()
        info = json.load(open(file))
        mode = lambda path: oct(stat.S_IMODE(os.stat(path).st_mode) & 0o777)
        print(info["transport"], mode(file), mode(os.path.dirname(file)), os.getsid(0) == os.getpid())
        """
        _, document = runs.run(order(tmp_path, textwrap.dedent(source)))
        assert text(document["cells"][0]) == "ipc 0o600 0o700 True\n"

    def test_processes_that_a_notebook_leaves_behind_are_ended_and_named(self, runs: Bench, tmp_path: Path) -> None:
        """Even one that has left the kernel's session and lost its parent."""
        source = "import subprocess\nsubprocess.run('setsid sleep 1000 >/dev/null 2>&1 &', shell=True)\nNone"
        outcome, document = runs.run(order(tmp_path, source))
        assert outcome.verdict is Verdict.SUCCEEDED
        (warning,) = document["metadata"]["nbflow"]["warnings"]
        assert "left behind was ended: sleep (pid" in warning

    @pytest.mark.parametrize("forked", [True, False])
    def test_children_in_the_kernels_own_group_are_named_too(self, tmp_path: Path, forked: bool) -> None:
        """Nor does their end, which ipykernel is about when its loop stops, show in the notebook."""
        source = """
        import multiprocessing, subprocess, time
        for _ in range(2):
            multiprocessing.Process(target=time.sleep, args=(500,)).start()
        subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"])
        None
        """
        one = order(tmp_path, textwrap.dedent(source))
        with bench() as made:
            if forked:
                made.executor.prepare({"python3": Preload()}, str(tmp_path))
            assert made.submit(one).outcome().verdict is Verdict.SUCCEEDED
        document = archived(one)
        facts = document["metadata"]["nbflow"]
        assert document["cells"][0]["outputs"] == []
        assert facts["environment"]["kernel_start"] == ("forked" if forked else "ordinary")
        warnings = [warning for warning in facts["warnings"] if "zygote" not in warning]
        assert len(warnings) == len(set(warnings)) >= 3, warnings
        assert all("left behind was ended: " in warning for warning in warnings)


class TestStart:
    def test_a_kernel_that_is_not_installed(self, runs: Bench, tmp_path: Path) -> None:
        outcome, document = runs.run(order(tmp_path, "1", kernel="no-such-kernel"))
        self.assert_not_started(outcome, 'kernel "no-such-kernel" is not installed')
        assert states(document) == ["not_run"]

    def test_a_kernel_that_ends_at_once(self, runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_kernel(tmp_path, monkeypatch, "import sys; sys.exit('no module named kernel')")
        outcome, _ = runs.run(order(tmp_path, "1", kernel="fake"))
        self.assert_not_started(outcome, "no module named kernel")
        self.assert_not_started(outcome, "exit code 1")

    def test_a_kernel_that_is_never_ready(self, runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_kernel(tmp_path, monkeypatch, "import time; print('loading', flush=True); time.sleep(100)")
        outcome, _ = runs.run(order(tmp_path, "1", kernel="fake", limits=Limits(start_timeout=1.0)))
        self.assert_not_started(outcome, "not ready within 1 s (start_timeout); it said last: loading")

    def test_a_program_that_is_not_there(self, runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_kernel(tmp_path, monkeypatch, "", program="/no/such/program")
        outcome, _ = runs.run(order(tmp_path, "1", kernel="fake"))
        self.assert_not_started(outcome, "/no/such/program")

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (None, "cannot be read"),
            (b"", "is not a notebook"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is not a notebook"),
            (b'{"nbformat": 3, "worksheets": []}', "no list of cells"),
            (b'{"nbformat": 4, "metadata": {}, "cells": [1]}', "cells[0] is not a cell"),
        ],
    )
    def test_a_source_that_is_no_notebook(self, runs: Bench, tmp_path: Path, data: bytes | None, said: str) -> None:
        done = order(tmp_path, "1")
        if data is None:
            Path(done.notebook).unlink()
        else:
            Path(done.notebook).write_bytes(data)
        outcome = runs.submit(done).outcome()
        self.assert_not_started(outcome, said)
        assert archived(done)["metadata"]["nbflow"]["error"]["kind"] == "start_failed"
        assert (Path(done.outputs) / "sales/sales-1/clean.html").exists()

    @staticmethod
    def assert_not_started(outcome: Outcome, said: str) -> None:
        assert outcome.verdict is Verdict.FAILED
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.START_FAILED
        assert said in outcome.error.message


def fake_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch, program_text: str, program: str = "python") -> None:
    """Install a kernel `fake` that is a program of ours."""
    place = folder / "jupyter/kernels/fake"
    place.mkdir(parents=True)
    argv = [program, "-c", program_text, "{connection_file}"]
    spec = {"argv": argv, "display_name": "Fake", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
