"""What cells do on purpose or by mistake, and what then is said of them: on real kernels, each against the contract."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.attempt import ErrorKind, Verdict
from support.attempts import Bench, bench, code, order, states, text


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(ahead=True) as made:
        yield made


def errors(cell: dict[str, Any]) -> list[str]:
    """Names of the errors that a cell shows."""
    return [output["ename"] for output in cell["outputs"] if output["output_type"] == "error"]


def test_what_is_no_failure(runs: Bench, tmp_path: Path) -> None:
    """As at JupyterLab: what goes on there goes on here, and what it says is seen."""
    cells = {
        "a command that fails": "!false",
        "a thread that raises": "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
        "a thread that exits": "import sys\nt = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join()",
        "a warning": "import warnings\nwarnings.warn('beware')",
        "an await at the top": "import asyncio\nawait asyncio.sleep(0.01)\n'awaited'",
        "what is captured": "%%capture kept\nprint('inside')",
        "and shown later": "print(kept.stdout)",
        "a destructor that raises": "class D:\n    def __del__(self): 1 / 0\nd = D()\ndel d",
        "a handler for errors": "get_ipython().set_custom_exc((ValueError,), lambda *a, **k: print('swallowed'))",
        "a breakpoint without a debugger": "breakpoint()\n'went on'",
        "no print": "import builtins\nprint = None\n'no print'",
        "no file descriptor": "del print\nimport os\nos.close(1)\nprint('still heard')",
        "an error that is expected": code("x = = 1", "raises-exception"),
        "an exit that is expected": code("import sys\nsys.exit(3)", "raises-exception"),
        "what is expected and does not come": code("'calm'", "raises-exception"),
    }
    outcome, document = runs.run(order(tmp_path, *cells.values()))
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    assert set(states(document)) == {"ok"}
    said = dict(zip(cells, document["cells"], strict=True))
    assert "ZeroDivisionError" in text(said["a thread that raises"])
    assert "UserWarning: beware" in text(said["a warning"])
    assert text(said["an await at the top"]) == "'awaited'"
    assert text(said["what is captured"]) == ""
    assert text(said["and shown later"]).strip() == "inside"
    assert "ZeroDivisionError" in text(said["a destructor that raises"])
    assert text(said["a breakpoint without a debugger"]) == "'went on'"
    assert text(said["no file descriptor"]) == "still heard\n"
    assert errors(said["an error that is expected"]) == ["SyntaxError"]
    assert errors(said["an exit that is expected"]) == ["SystemExit"]
    number = len(cells)
    assert document["metadata"]["nbflow"]["warnings"] == [f"cell {number} is tagged raises-exception and did not raise"]


SWALLOW = "get_ipython().set_custom_exc((ValueError,), lambda *a, **k: print('swallowed'))\nNone"
DEBUGGER = "import pdb\npdb.set_trace()\nx = 1"
LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\nx = bytearray(2**32)"
ODD = "class Odd(Exception):\n    def __str__(self): 1 / 0\nraise Odd()"
UNSHOWN = "from IPython.display import display\nclass A:\n    def __repr__(self): 1 / 0\ndisplay(A())\nprint('after')"
ASYNC = "import asyncio\nasyncio.current_task().cancel()\nawait asyncio.sleep(1)"


class TestFailures:
    @pytest.mark.parametrize(
        ("cells", "ename", "said"),
        [
            (("%%nosuch\nx",), "UsageError", "Cell magic `%%nosuch` not found"),
            (("%%bash\nexit 3",), "CalledProcessError", "returned non-zero exit status 3"),
            (("%%capture\nprint('gone')\n1 / 0",), "ZeroDivisionError", "division by zero"),
            ((SWALLOW, "raise ValueError('x')"), "ValueError", "ValueError: x"),
            (("import getpass\ngetpass.getpass()",), "StdinNotImplementedError", "make it a parameter, or a secret"),
            ((DEBUGGER,), "StdinNotImplementedError", "nobody is there to answer"),
            (("def f(:\n    pass",), "SyntaxError", "invalid syntax"),
            (("raise ValueError('<' + 'x' * 3_000_000 + '>')",), "ValueError", "ValueError: <xxx"),
            ((ODD,), "ZeroDivisionError", "division by zero"),
            (("raise ValueError('a\\ud800b')",), "UnicodeEncodeError", "surrogates not allowed"),
            (("raise ValueError('a\\x00b\\x1b[31mred')",), "ValueError", "ValueError: abred"),
            (("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",), "ExceptionGroup", "g (2 sub-exceptions)"),
            (("class Base(BaseException): pass\nraise Base('b')",), "Base", "Base: b"),
            ((ASYNC,), "CancelledError", "CancelledError"),
            ((UNSHOWN,), "ZeroDivisionError", "division by zero"),
            ((LIMITED,), "MemoryError", "MemoryError"),
        ],
    )
    def test_it_ends_the_notebook(
        self, runs: Bench, tmp_path: Path, cells: tuple[str, ...], ename: str, said: str
    ) -> None:
        outcome, document = runs.run(order(tmp_path, *cells, "print('never')"))
        assert outcome.error is not None
        assert outcome.error.kind is ErrorKind.EXCEPTION
        assert outcome.error.ename == ename
        assert said in outcome.error.message
        assert len(outcome.error.message) <= 2_100
        assert states(document) == [*["ok"] * (len(cells) - 1), "failed", "not_run"]
        assert "never" not in text(document["cells"][len(cells) - 1])


class TestExits:
    @pytest.mark.parametrize(
        "source",
        ["raise SystemExit(None)", "get_ipython().ask_exit()"],
    )
    def test_on_purpose(self, runs: Bench, tmp_path: Path, source: str) -> None:
        outcome, document = runs.run(order(tmp_path, "1", f"print('bye')\n{source}", "print('never')"))
        assert outcome.verdict is Verdict.SUCCEEDED
        assert outcome.stopped_at == 1
        assert states(document) == ["ok", "ok", "not_run"]
        assert text(document["cells"][1]).startswith("bye\n")

    def test_on_purpose_where_an_error_is_expected(self, runs: Bench, tmp_path: Path) -> None:
        """IPython's own `exit` ends the kernel a moment later: what came after it would die with it."""
        outcome, document = runs.run(order(tmp_path, code("exit()", "raises-exception"), "import time; time.sleep(1)"))
        assert outcome.stopped_at == 0
        assert states(document) == ["ok", "not_run"]
        assert document["metadata"]["nbflow"]["warnings"] == []

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("import sys\ndef f():\n    sys.exit(4)\nf()", "exit code 4"),
            ("import sys\nasync def f():\n    sys.exit('no data')\nawait f()", 'the message "no data"'),
            ("raise SystemExit(True)", 'the message "True"'),
            ("exit(3)", "exit code 3"),
            ("quit('no data')", 'the message "no data"'),
        ],
    )
    def test_with_a_fault(self, runs: Bench, tmp_path: Path, source: str, said: str) -> None:
        outcome, document = runs.run(order(tmp_path, source, "print('never')"))
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.ename) == (ErrorKind.EXITED, "SystemExit")
        assert outcome.error.message == f"the notebook ended itself with {said}"
        assert states(document) == ["failed", "not_run"]


def test_what_each_cell_and_the_kernel_have_used(runs: Bench, tmp_path: Path) -> None:
    burn = """
    import subprocess, sys, time
    def burn(seconds):
        began = time.process_time()
        while time.process_time() - began < seconds: pass
    """
    child = "began = __import__('time').process_time\nwhile began() < 0.3: pass"
    cells = (
        textwrap.dedent(burn),
        "burn(0.3)",
        "x = bytearray(b'x') * 150_000_000\ndel x",
        "time.sleep(0.3)",
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\nNone",
    )
    outcome, document = runs.run(order(tmp_path, *cells))
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    _, burnt, large, slept, started = (cell["metadata"]["nbflow"] for cell in document["cells"])
    assert 0.3 <= burnt["cpu_seconds"] < 0.6
    assert slept["cpu_seconds"] < 0.2
    assert started["cpu_seconds"] >= 0.25  # hundredths of a second count there
    assert large["peak_memory"] > 150_000_000
    assert slept["peak_memory"] < 150_000_000
    assert outcome.cpu_seconds is not None
    assert outcome.cpu_seconds >= burnt["cpu_seconds"] + started["cpu_seconds"]
    assert outcome.peak_memory is not None
    assert outcome.peak_memory >= large["peak_memory"]
