"""Why a kernel died, in words. The stacks are those that faulthandler writes in a real kernel, shortened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.kernels.autopsy import Death, explain, lack_of_memory, last_lines
from nbflow.kernels.memory import Evidence

SHELL = "/venv/lib/python3.11/site-packages/IPython/core/interactiveshell.py"
LAUNCHER = f"""\
  File "{SHELL}", line 3823 in run_code
  File "{SHELL}", line 3762 in run_ast_nodes
  File "/venv/lib/python3.11/site-packages/ipykernel_launcher.py", line 18 in <module>
  File "<frozen runpy>", line 198 in _run_module_as_main
"""
POLLER = """\
Thread 0x00007f3312ffd6c0 (most recent call first):
  File "/venv/lib/python3.11/site-packages/ipykernel/parentpoller.py", line 62 in run
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

"""
EXTENSIONS = "\nExtension modules: zmq.backend.cython._zmq, psutil._psutil_linux (total: 2)\n"
CRASH = f"""\
loading the model
Fatal Python error: Segmentation fault

{POLLER}Current thread 0x00007f08050196c0 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/tmp/ipykernel_32104/3232363335.py", line 3 in g
  File "/tmp/ipykernel_32104/2302902983.py", line 3 in <module>
{LAUNCHER}{EXTENSIONS}"""
CELL = "x = 1\nfor i in range(3):\n    g(0)"


def told(
    code: int, words: str = "", *, evidence: Evidence | None = None, peak: int | None = None, source: str = CELL
) -> str:
    known = evidence or Evidence(kills=0, grouped=True, limit=10**9)
    text, _ = explain(Death(code=code, words=words, evidence=known, peak=peak, source=source), "the kernel died")
    return text


class TestPlace:
    def test_the_line_of_the_running_cell_not_that_of_a_function_of_another_one(self) -> None:
        assert told(-11, CRASH, peak=123_456_789).splitlines() == [
            "the kernel died: signal 11, SIGSEGV (segmentation fault); peak memory 123 MB",
            "at line 3: g(0)",
            "it said last: loading the model",
        ]

    def test_empty_lines_at_the_beginning_count(self) -> None:
        assert "at line 5: g(0)" in told(-11, CRASH, source=f"\n  \n{CELL}")

    @pytest.mark.parametrize("first", ["%run a.py \\", "!ls \\", "files = !ls \\", "a, b = %magic \\"])
    def test_nothing_is_said_where_lines_were_joined(self, first: str) -> None:
        assert "at line" not in told(-11, CRASH, source=f"{first}\n  b\n{CELL}")

    def test_nothing_is_said_of_a_line_that_the_cell_does_not_have(self) -> None:
        assert "at line" not in told(-11, CRASH, source="x = 1")

    def test_a_thread_that_crashes_while_the_cell_runs(self) -> None:
        """The main thread tells where the cell was; a cell's function in the thread is not taken for it."""
        words = f"""Fatal Python error: Segmentation fault

Current thread 0x00007f9df27fc6c0 (most recent call first):
  File "/tmp/ipykernel_7/1.py", line 1 in work
  File "/usr/lib/python3.11/threading.py", line 982 in run

Thread 0x00007f9e05491b80 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 327 in wait
  File "/tmp/ipykernel_7/2.py", line 2 in <module>
{LAUNCHER}"""
        assert "at line 2: for i in range(3):" in told(-11, words)

    def test_a_stack_that_is_too_deep_to_be_shown_names_the_function(self) -> None:
        frame = '  File "/tmp/ipykernel_7/1.py", line 5 in __eq__\n'
        words = f"Fatal Python error: Segmentation fault\n\n{POLLER}Current thread 0x00 (most recent call first):\n"
        said = told(-11, f"{words}{frame * 100}  ...\n{EXTENSIONS}")
        assert said.splitlines()[1:] == ["in the function __eq__"]

    def test_the_stack_of_c_is_not_one_of_python(self) -> None:
        words = CRASH + (
            "\nCurrent thread's C stack trace (most recent call first):\n"
            '  Binary file "/usr/bin/python3", at _Py_DumpStack+0x1d [0x5]\n  <truncated rest of calls>\n'
        )
        assert told(-11, words).splitlines()[1:] == ["at line 3: g(0)", "it said last: loading the model"]

    def test_between_two_cells_no_line_is_known(self) -> None:
        text, _ = explain(Death(code=-11, words=f"{POLLER}{EXTENSIONS}"), "the kernel died")
        assert text == "the kernel died: signal 11, SIGSEGV (segmentation fault)"


class TestMemory:
    def test_the_system_counts_what_it_ends(self) -> None:
        said = told(-9, evidence=Evidence(kills=1, grouped=True, limit=256_000_000), peak=255_000_000)
        assert said == (
            "the kernel died: signal 9, SIGKILL; possibly out of memory: the system ended a process of its control "
            "group for lack of memory (limit 256 MB); peak memory 255 MB"
        )

    def test_near_the_limit(self) -> None:
        """User-space killers act before the system does."""
        assert "possibly out of memory: it was near its limit of 1.0 GB" in told(-9, peak=950_000_000)

    def test_killed_and_nothing_is_known(self) -> None:
        assert told(-9, evidence=Evidence()) == "the kernel died: signal 9, SIGKILL; possibly out of memory"

    @pytest.mark.parametrize("code", [-9, -15, -11, 0, 3])
    def test_what_nothing_speaks_for_is_not_said(self, code: int) -> None:
        assert "memory" not in told(code)

    def test_another_death_counts_only_what_happened_in_its_own_group(self) -> None:
        assert "possibly out of memory" in told(1, evidence=Evidence(kills=2, grouped=True))
        assert "memory" not in told(1, evidence=Evidence(kills=2, grouped=False))

    def test_an_abort_that_speaks_of_memory(self) -> None:
        words = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc"
        said = told(-6, words, evidence=Evidence(kills=0, grouped=True, address_space=2_000_000_000))
        assert said.splitlines()[0].endswith("possibly out of memory: its address space is limited to 2.0 GB")
        assert "it said last: terminate called" in said

    def test_of_the_machine(self) -> None:
        assert "ended 2 processes of this machine" in lack_of_memory(2, grouped=False)


class TestWords:
    def test_a_fatal_error_with_a_reason_is_kept(self) -> None:
        words = "Fatal Python error: none_dealloc: deallocating None\nPython runtime state: initialized\n"
        assert last_lines(words) == "Fatal Python error: none_dealloc: deallocating None"

    def test_a_torn_beginning_of_the_stacks_is_left_out(self) -> None:
        assert last_lines(f"ne 1002 in _bootstrap\n\n{POLLER}") == ""

    def test_a_traceback_is_cut_to_its_end(self) -> None:
        words = "Traceback:\n" + "  frame\n" * 50 + "ModuleNotFoundError: No module named 'x'"
        assert last_lines(words).splitlines()[-1] == "ModuleNotFoundError: No module named 'x'"

    @given(st.text(), st.integers(-70, 255), st.text())
    def test_whatever_was_said_it_is_five_lines_at_most(self, words: str, code: int, source: str) -> None:
        text = told(code, words, source=source)
        assert 1 <= len(text.split("\n")) <= 5
        assert len(text) < 2_000

    @given(st.lists(st.sampled_from(CRASH.splitlines()), max_size=30))
    def test_stacks_in_any_order_do_no_harm(self, lines: list[str]) -> None:
        assert len(told(-11, "\n".join(lines)).split("\n")) <= 5
