"""Execution, case by case: what a person at JupyterLab would see is in the notebook, on its page and in the logs.

Exits and exceptions are in `test_attempt.py`, floods and big displays in `test_output.py`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.attempt import Verdict, WorkOrder
from support.attempts import Bench, bench, code, notebook, order, text
from support.folders import Folder
from support.real import command, finished, notebook_of, problems, ran


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path of kernels, into which a notebook can install."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def runs(packages: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(packages), prepend=":")
        with bench(grace=10) as made:
            yield made


def page_of(done: WorkOrder) -> str:
    """The page of an attempt's notebook."""
    return (Path(done.outputs) / done.folder / f"{done.slug}.html").read_text("utf-8")


WIDGETS = """\
import ipywidgets as w
from IPython.display import HTML, display
bar = w.HBox([w.HTML("100" + "%"), w.IntProgress(value=3, max=3), w.Label("3/3 " + "done")])
out = w.Output()
box = w.VBox([w.IntSlider(value=3, description="how many"), out])
display(bar, box)
with out:
    print("captured", "text")
    display(HTML("<b>captured " + "html</b>"))"""

LATE = """
import asyncio, atexit
async def work():
    try:
        await asyncio.sleep(0.3)
        print("pending task has ended")
        await asyncio.sleep(60)
    finally:
        print("pending task is cancelled")
task = asyncio.ensure_future(work())
_ = atexit.register(print, "exit handler")
"""


def test_what_is_shown_is_kept_and_its_page_shows_it_without_scripts(runs: Bench, tmp_path: Path) -> None:
    """Widgets; ANSI colours; HTML with scripts; `%run other.ipynb`, local imports; exit handlers, pending tasks."""
    colours = r"print('\x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m plain')"
    hostile = "<p>shown</p><script>hit()</script><img src=x onerror=hit()>"
    script = f"from IPython.display import HTML\nHTML('{hostile}')"
    imports = "%run other.ipynb\nimport helper\nprint(from_other + helper.VALUE)"
    done = order(tmp_path, WIDGETS, colours, script, imports, textwrap.dedent(LATE))
    Path(done.root, "other.ipynb").write_text(json.dumps(notebook("from_other = 40\nprint('other ran')")))
    Path(done.root, "helper.py").write_text("VALUE = 2\n")
    outcome, found = ran(runs, done)
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    page, cells = page_of(done), found["cells"]

    # the state of widgets is saved; the page shows what an Output widget captured, and texts of labels
    state = found["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (captured,) = [one["state"]["outputs"] for one in state.values() if one["model_name"] == "OutputModel"]
    assert captured[0]["text"] == "captured text\n"
    assert "captured text" not in text(cells[0])
    for shown in ("captured text", "captured html", "100%", "3/3 done", "This output is interactive"):
        assert shown in page, shown
    assert "VBox(children" not in page
    # colours are in the notebook as they came, and rendered on the page
    assert "\x1b[31mred\x1b[0m" in text(cells[1])
    assert "\x1b" not in page
    assert '<span class="ansi-red-fg">red</span> <span class="ansi-bold">bold</span> plain' in page
    # HTML is archived as it is; on the page nothing runs
    assert "".join(cells[2]["outputs"][0]["data"]["text/html"]) == hostile
    assert "<p>shown</p>" in page
    assert "<script" not in page
    assert not re.search("<img[^>]*onerror", page)
    assert "Content-Security-Policy" in page
    # the project's own modules and notebooks are found
    assert text(cells[3]) == "other ran\n42\n"
    # what is said after the last cell belongs to it
    said = text(cells[4])
    for late in ("pending task has ended", "exit handler", "pending task is cancelled"):
        assert late in said, said
    assert found["metadata"]["nbflow"]["warnings"] == []


def test_magics_that_surprise_in_a_run(tmp_path: Path) -> None:
    """Matplotlib backends: `%matplotlib widget` or `qt` is a warning; so is `%pip install` in a cell."""
    folder = Folder(tmp_path)
    cells = ("%matplotlib inline", "%matplotlib widget", "%matplotlib qt", "%pip install six", "!pip list")
    folder.notebook("a.ipynb", None, *cells)
    folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "a.ipynb" }\n')
    (messages,) = problems(tmp_path).values()
    assert [re.split("; |, and", message)[0] for message in messages] == [
        "warning: a.ipynb: cell 2: `%matplotlib widget` needs somebody at a screen",
        "warning: a.ipynb: cell 3: `%matplotlib qt` needs somebody at a screen",
        "warning: a.ipynb: cell 4 changes installed packages (pip): other notebooks see it too",
    ]


def test_pip_install_in_a_cell(runs: Bench, packages: Path, tmp_path: Path) -> None:
    """A changed package list is recorded in the notebook, with a warning."""
    wheel = make_wheel(tmp_path, "nbflow_demo", "1.5")
    install = f"%pip install --quiet --no-index --no-deps --target {packages} {wheel}"
    done = order(tmp_path, install, "import nbflow_demo\nprint(nbflow_demo.VALUE)")
    _, found = ran(runs, done)
    assert text(found["cells"][1]) == "5\n"
    facts = found["metadata"]["nbflow"]
    assert "nbflow-demo" not in facts["environment"]["packages"]
    assert facts["environment"]["packages_changed"] == {"nbflow-demo": [None, "1.5"]}
    assert facts["warnings"] == ["installed packages changed while the notebook ran: nbflow-demo was not there -> 1.5"]
    assert "nbflow-demo none -&gt; 1.5" in page_of(done)


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "VALUE = 5\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    place = folder / f"{name}-{version}-py3-none-any.whl"
    place.write_bytes(data.getvalue())
    return place


TODAY = """
[pipelines.p.params]
day = { type = "date", default = "{{ run.date }}" }
[pipelines.p.tasks]
a = { notebook = "a.ipynb", retries = 1, retry_delay = 0 }
"""

COUNTED = """\
from pathlib import Path
import nbflow
print(day, nbflow.run.logical_date.isoformat(), nbflow.run.attempt)
tries = Path("tries.txt")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if len(tries.read_text()) < 3:
    raise RuntimeError("\\x1b[31mnot yet\\x1b[0m")"""


def test_today_is_the_same_in_each_attempt_and_on_resume(tmp_path: Path) -> None:
    """ "Today" and random numbers: `run.date` is the logical date; with it, colours are stripped in plain logs."""
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb", "day = None", COUNTED)
    folder.write("pipelines.toml", TODAY)
    failed = finished(tmp_path, command(tmp_path, "run", "p", "--json", "--date", "2026-01-31", code=1))
    assert failed["tasks"][0]["error"]["message"] == "RuntimeError: not yet"
    logs = command(tmp_path, "logs", "@last")
    assert "RuntimeError: not yet" in logs
    assert "\x1b" not in logs
    done = finished(tmp_path, command(tmp_path, "resume", "@last-failed", "--json"))
    assert done["run"] == failed["run"]
    assert (done["state"], done["tasks"][0]["attempts"]) == ("succeeded", 3)
    place = tmp_path / "outputs/p" / done["run"]
    earlier = [json.loads(path.read_text()) for path in sorted(place.glob("attempts/a.*.ipynb"))]
    attempts = [*earlier, notebook_of(tmp_path, done, "a")]
    assert "\x1b[31mnot yet" in "".join(attempts[0]["cells"][2]["outputs"][-1]["traceback"])
    said = [text(one["cells"][2]).split() for one in attempts]
    assert [words[2] for words in said] == ["1", "2", "3"]
    assert {(words[0], words[1]) for words in said} == {("2026-01-31", "2026-01-31T00:00:00+00:00")}


def test_an_early_end_on_purpose_is_told_on_the_page(runs: Bench, tmp_path: Path) -> None:
    """`sys.exit()`: the page says at which cell it ended; with it, a skipped cell and one that is empty."""
    cells: tuple[Any, ...] = ("1", code("2", "skip-execution"), "", "import sys; sys.exit()", "print('never')")
    done = order(tmp_path, *cells)
    outcome, found = ran(runs, done)
    assert outcome.verdict is Verdict.SUCCEEDED
    assert [cell["metadata"]["nbflow"]["state"] for cell in found["cells"]] == [
        "ok",
        "skipped",
        "skipped",
        "ok",
        "not_run",
    ]
    before, after = page_of(done).split("The notebook ended here on purpose")
    assert "sys" in before
    assert "never" in after
    assert "never" not in before
