"""The command line on real notebooks, real kernels and a real terminal, as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import pexpect
import psutil
import pytest

import nbflow
from nbflow.core.events import CellStarted
from nbflow.results import RunResult
from support.folders import Folder
from support.waiting import allowed

Found = TypeVar("Found")

NBFLOW = [sys.executable, "-m", "nbflow"]
ENVIRONMENT = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)

NOTE = """\
from pathlib import Path
with Path("ran.txt").open("a") as file:
    file.write("{name}\\n")
"""
"""A cell that leaves a line each time it runs."""

SLEEP = "import time\nfor _ in range(600):\n    time.sleep(0.1)"
STUBBORN = """\
import time
while True:
    try:
        time.sleep(0.1)
    except KeyboardInterrupt:
        pass
"""

PIPELINES = """
[pipelines.short]
params = { wait = 0.0 }
[pipelines.short.tasks]
extract = { notebook = "-a {x} 100% ü.ipynb" }
report = { notebook = "report.ipynb", needs = ["extract"], params = { rows = "{{ tasks.extract.outputs.rows }}" } }

[pipelines.broken.tasks]
extract = { notebook = "-a {x} 100% ü.ipynb" }
check = { notebook = "check.ipynb", needs = ["extract"] }
report = { notebook = "report.ipynb", needs = ["check"] }

[pipelines.long.tasks]
extract = { notebook = "-a {x} 100% ü.ipynb" }
wait = { notebook = "sleep.ipynb", needs = ["extract"] }
report = { notebook = "report.ipynb", needs = ["wait"] }

[pipelines.stubborn.tasks]
wait = { notebook = "stubborn.ipynb" }

[pipelines.late]
timeout = "4s"
[pipelines.late.tasks]
wait = { notebook = "sleep.ipynb" }
"""


class Project:
    """A project in a folder with an odd name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folder = Folder(root)
        note = {name: NOTE.format(name=name) for name in ("extract", "check", "report")}
        output = "import nbflow\nnbflow.output('rows', 10)\nprint('ten', 'rows')"
        folder.notebook("-a {x} 100% ü.ipynb", "wait = 0.0", note["extract"], "import time; time.sleep(wait)", output)
        folder.notebook("check.ipynb", None, note["check"], "raise ValueError('bad \\x1b[2J input')")
        folder.notebook("report.ipynb", "rows = 0", note["report"], "print(rows + 1)")
        folder.notebook("sleep.ipynb", None, "print('begun')", SLEEP)
        folder.notebook("stubborn.ipynb", None, "print('begun')", STUBBORN)
        folder.write("pipelines.toml", PIPELINES)
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of a call, which has to end with a code."""
        done = subprocess.run(
            [*NBFLOW, *arguments],
            cwd=self.root,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))

    def begin(self, *arguments: str, **how: Any) -> subprocess.Popen[str]:
        """A call that goes on."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*NBFLOW, *arguments], cwd=self.root, env=ENVIRONMENT, text=True, **{**pipes, **how})

    def ran(self) -> list[str]:
        """What has run, once for each time."""
        path = self.root / "ran.txt"
        return path.read_text().split() if path.exists() else []

    def document(self, run: str = "@last") -> RunResult:
        """The run document, read in this process."""
        with nbflow.Project.open(self.folder.file) as opened:
            return opened.runs.document(opened.runs.find(run))

    def states(self, run: str = "@last") -> dict[str, str]:
        return {task["task"]: task["state"] for task in self.document(run)["tasks"]}

    def wait_for_cell(self, task: str, number: int) -> str:
        """Until the newest run is in a cell of a task; its id."""

        def there() -> str | None:
            with nbflow.Project.open(self.folder.file) as opened:
                for row in opened.runs.rows(limit=1):
                    for stamped in opened.runs.events(row):
                        event = stamped.event
                        if isinstance(event, CellStarted) and (event.task, event.number) == (task, number):
                            return row.run
            return None

        return until(there)

    def cell_states(self, task: str, run: str = "@last") -> list[str]:
        """The states of the cells in the archived notebook of a task."""
        path = self.document(run).task(task)["notebook"]
        assert path is not None, f"{task} has left no notebook"
        document = json.loads((self.root / path).read_text("utf-8"))
        return [cell["metadata"]["nbflow"]["state"] for cell in document["cells"]]


def until(look: Callable[[], Found | None], seconds: float = 90) -> Found:
    """What a look gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError("it has never happened")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project; when the test is over, no process may be left that works in it."""
    made = Project(tmp_path / "a {project} 100% ü")
    yield made
    until(lambda: None if processes(made.root) else True, 15)


def processes(root: Path) -> list[str]:
    """Command lines of processes whose working directory is the project."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root):
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def test_a_run_from_beginning_to_end(project: Project) -> None:
    *events, document = map(json.loads, project("run", "short", "--json").splitlines())
    assert document["state"] == "succeeded"
    assert project.json("show", document["run"]) == document
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert project.ran() == ["extract", "report"]
    tasks = {task["task"]: task for task in document["tasks"]}
    assert tasks["extract"]["outputs"] == {"rows": 10}
    for task in tasks.values():
        assert (project.root / task["notebook"]).is_file()
        assert (project.root / task["html"]).is_file()
    assert "11" in project("logs", f"{document['run']}/report")
    assert "ten rows" in project("logs", "@last/extract")
    page = Path(project("report", "@last").strip())
    assert page.is_file()
    assert project("open", "@last/report", "--print").strip().endswith("report.html")
    assert "succeeded" in project("list")


def test_a_failure_is_told_and_resume_runs_only_the_rest(project: Project) -> None:
    out = project("run", "broken", code=1)
    assert re.search("check: ValueError: bad .*input", out)
    assert "\x1b" not in out
    assert project.states() == {"extract": "succeeded", "check": "failed", "report": "upstream_failed"}
    assert project.cell_states("check") == ["ok", "failed"]
    assert project.ran() == ["extract", "check"]
    project("resume", "@last-failed", code=1)
    assert project.ran() == ["extract", "check", "check"]
    project.folder.notebook("check.ipynb", None, NOTE.format(name="check"))
    *_, document = map(json.loads, project("resume", "@last", "--json").splitlines())
    assert document == project.json("show", "@last")
    assert document["state"] == "succeeded"
    assert project.ran() == ["extract", "check", "check", "check", "report"]
    assert len(project.json("runs")["runs"]) == 1


def test_cancel_from_another_process(project: Project) -> None:
    process = project.begin("run", "long", "--json")
    run = project.wait_for_cell("wait", 2)
    assert "is cancelled" in project("cancel", run, "--wait")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    document = json.loads(out.splitlines()[-1])
    assert document["state"] == "cancelled"
    assert project.states(run) == {"extract": "succeeded", "wait": "cancelled", "report": "cancelled"}
    assert project.cell_states("wait", run)[0] == "ok"
    project("cancel", run, code=4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_notebooks_and_ends_with_130(number: signal.Signals, project: Project) -> None:
    process = project.begin("run", "long")
    run = project.wait_for_cell("wait", 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert "stopping: the kernels are interrupted and the notebooks saved" in out
    assert err == ""
    assert project.document(run).state == "interrupted"
    assert project.states(run) == {"extract": "succeeded", "wait": "cancelled", "report": "cancelled"}
    assert project.cell_states("wait", run)[0] == "ok"


def test_ctrl_c_once_on_a_terminal(project: Project) -> None:
    child = pexpect.spawn(
        NBFLOW[0],
        [*NBFLOW[1:], "run", "long"],
        cwd=project.root,
        env=ENVIRONMENT,
        encoding="utf-8",
        dimensions=(24, 100),
    )
    project.wait_for_cell("wait", 2)
    child.send("\x03")
    # All may be over before the table is drawn again.
    if child.expect(["stopping: the kernels are interrupted", "interrupted  long-"], timeout=15) == 0:
        child.expect("interrupted  long-", timeout=30)
    child.expect("nbflow resume long-", timeout=10)
    child.expect(pexpect.EOF, timeout=15)
    child.close()
    assert child.exitstatus == 130
    assert project.states() == {"extract": "succeeded", "wait": "cancelled", "report": "cancelled"}


def test_ctrl_c_twice_kills_what_does_not_listen(project: Project) -> None:
    child = pexpect.spawn(
        NBFLOW[0],
        [*NBFLOW[1:], "run", "stubborn"],
        cwd=project.root,
        env=ENVIRONMENT,
        encoding="utf-8",
        dimensions=(24, 100),
    )
    project.wait_for_cell("wait", 2)
    child.send("\x03")
    child.expect("stopping: the kernels are interrupted", timeout=15)
    begun = time.monotonic()
    child.send("\x03")
    # The kernels may be gone before the table is drawn again.
    child.expect(["stopping now: the kernels are killed", "task cancelled"], timeout=15)
    child.send("\x03")
    child.expect(pexpect.EOF, timeout=30)
    child.close()
    # The third one may come when all is over; a shell calls both 130.
    assert child.exitstatus == 130 or child.signalstatus == signal.SIGINT
    assert time.monotonic() - begun < allowed(15)
    assert project.states() == {"wait": "cancelled"}
    assert project.cell_states("wait") == ["ok", "killed"]


def test_the_terminal_goes_away(project: Project) -> None:
    child = pexpect.spawn(NBFLOW[0], [*NBFLOW[1:], "run", "long"], cwd=project.root, env=ENVIRONMENT, encoding="utf-8")
    run = project.wait_for_cell("wait", 2)
    process = psutil.Process(child.pid)
    os.close(child.child_fd)
    until(lambda: True if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE else None, 30)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 130
    assert project.document(run).state == "interrupted"
    assert project.cell_states("wait", run)[0] == "ok"


def test_a_reader_that_goes_away_does_not_end_the_run(project: Project) -> None:
    process = project.begin("run", "short", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["type"] == "run_created"
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert set(project.states().values()) == {"succeeded"}


def test_a_pipe_into_head(project: Project) -> None:
    project("run", "short")
    for arguments, first in (("runs", "RUN "), ("logs -f @last", ""), ("logs @last/extract", "✓ cell 1/")):
        command = f"{sys.executable} -m nbflow {arguments} | head -1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=project.root, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[0].startswith(first)
        assert done.stdout.splitlines()[1] == "0"
        assert done.stderr == ""


def lines_until(stream: IO[str], text: str) -> list[str]:
    """Lines up to the one that holds a text."""
    found = []
    for line in stream:
        found.append(line)
        if text in line:
            return found
    raise AssertionError(f"{text!r} has never come: {found}")


def test_what_a_cell_prints_is_seen_while_it_runs(project: Project) -> None:
    """The cell waits for a file that is made once its line has been seen: it would never end otherwise."""
    wait = "while not pathlib.Path('seen.txt').exists():\n    time.sleep(0.05)\n"
    text = f"import pathlib, time\nprint('half of', end=' ')\n{wait}print('it')"
    project.folder.notebook("sleep.ipynb", None, text, "print('quick')", "1/0")
    run = project("run", "long", "--detach").strip()
    follower = project.begin("logs", "-f", run)
    task = project.begin("logs", "-f", f"{run}/wait", "--json")
    assert follower.stdout is not None
    assert task.stdout is not None
    lines = lines_until(follower.stdout, "half of")
    lines_until(task.stdout, "half of")
    late = project.begin("logs", "-f", run)
    assert late.stdout is not None
    assert lines_until(late.stdout, "half of") == lines, "who comes late sees the same"
    assert project("logs", f"{run}/wait").splitlines()[-1].endswith("│ wait  half of")
    (project.root / "seen.txt").touch()
    rest, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, ""), "it ends by itself"
    assert late.communicate(timeout=60) == (rest, "")
    cells = [re.sub("[0-9.]+m?s$", "5s", " ".join(line.split()[1:])) for line in rest.splitlines() if " wait " in line]
    assert cells[:-2] == [
        *("│ wait it", "✓ wait cell 1/3 5s", "● wait cell 2/3 print('quick')", "│ wait quick", "✓ wait cell 2/3 5s"),
        *("● wait cell 3/3 1/0", "│ wait ZeroDivisionError: division by zero", "✗ wait cell 3/3 failed after 5s"),
    ]
    out, err = task.communicate(timeout=60)
    assert (task.returncode, err, json.loads(out.splitlines()[-1])["type"]) == (0, "", "task_failed")
    whole = project("logs", f"{run}/wait")
    assert "\nhalf of it\n" in whole
    assert "ZeroDivisionError" in whole
    assert "\x1b" not in whole


def test_a_run_in_the_background(project: Project) -> None:
    run = project("run", "short", "-p", "wait=1.5", "--detach").strip()
    assert re.fullmatch(r"short-\d{8}T\d{6}-[a-z0-9]{4}", run)
    followed = [json.loads(line) for line in project("logs", "-f", run, "--json").splitlines()]
    assert followed[-1]["type"] == "run_finished"
    assert project.document(run).state == "succeeded"
    log = project.root / "outputs" / ".nbflow" / "logs" / f"{run}.log"
    until(lambda: True if "2 tasks succeeded" in log.read_text() else None, 15)


def test_two_processes_and_one_run(project: Project) -> None:
    process = project.begin("run", "long", "--json")
    run = project.wait_for_cell("wait", 2)
    error = json.loads(project("resume", run, "--json", code=4))["error"]
    assert f"process {process.pid} on " in error["message"]
    assert project.document(run).state == "running"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_a_killed_process_leaves_a_run_that_can_be_resumed(project: Project) -> None:
    process = project.begin("run", "long")
    run = project.wait_for_cell("wait", 2)
    process.kill()
    process.communicate()
    assert project.document(run).state == "interrupted"
    assert "resume would run 2 tasks: wait, report" in project("explain", run)
    project.folder.notebook("sleep.ipynb", None, "print('short now')")
    project("resume", run)
    assert project.ran() == ["extract", "report"]
    assert set(project.states(run).values()) == {"succeeded"}


def test_the_time_limit_of_a_run_exits_with_5(project: Project) -> None:
    out = project("run", "late", code=5)
    assert "the run's time limit of 4 s has passed" in out
    [task] = project.document()["tasks"]
    about = json.loads((project.root / task["notebook"]).read_bytes())["metadata"]["nbflow"]
    assert (task["state"], about["state"]) == ("failed", "failed")
    assert task["error"] == about["error"]
    assert (about["error"]["kind"], about["error"]["cell"]) == ("timeout", 1)
    assert project.states() == {"wait": "failed"}


def test_one_task_is_tested_and_not_recorded(project: Project) -> None:
    out = project("test", "broken.check", code=1)
    assert "ValueError" in out
    assert "outputs/.nbflow/tests/broken/check.ipynb" in out
    assert (project.root / "outputs/.nbflow/tests/broken/check.ipynb").is_file()
    assert project.json("runs")["runs"] == []
    assert "rows = 10" in project("test", "short.extract")


def test_a_new_project_runs_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "-new {project} ü"
    subprocess.run([*NBFLOW, "init", "--", "-new {project} ü"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    listed = subprocess.run([*NBFLOW, "list", "--json"], cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
    [pipeline] = json.loads(listed.stdout)["pipelines"]
    subprocess.run([*NBFLOW, "validate"], cwd=folder, env=ENVIRONMENT, check=True)
    subprocess.run([*NBFLOW, "run", pipeline["pipeline"]], cwd=folder, env=ENVIRONMENT, check=True, timeout=120)
    assert not list(folder.glob("**/.*.tmp"))
    shutil.rmtree(folder)
