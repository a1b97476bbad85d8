"""A secret on its way through a project: it reaches the one kernel that asked for it, and nothing else keeps it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from nbflow.core.attempt import ErrorKind
from support.folders import Folder

CANARY = "https://me:p&ss\"w'rd-Canary7291-é@db.example/x"
INNER = "rd-Canary7291-"
"""A part of the canary that no notation but the encoded ones changes."""
FILE = "File-Canary-55431-first-line\nFile-Canary-55431-second-line"
COMMAND = "Command-Canary-90817"
FORMS = [
    text.encode()
    for one in (INNER, FILE.split("\n", maxsplit=1)[0], FILE.rsplit("\n", maxsplit=1)[-1], COMMAND)
    for text in (
        one,
        quote(one, safe=""),
        one.encode().hex(),
        *(
            base64.b64encode(b"\0" * shift + one.encode()).decode()[4 if shift else 0 : -4].rstrip("=")
            for shift in range(3)
        ),
    )
]

PIPELINES = """
[defaults]
secrets = { FROM_FILE = "file:secrets/file.txt" }

[pipelines.p]
secrets = { FROM_COMMAND = "cmd:PYTHON 'secrets/tell it.py'" }

[pipelines.p.tasks]
leak = { notebook = "leak.ipynb", secrets = { DB_URL = "env:NBT_CANARY" } }
fails = { notebook = "fails.ipynb", needs = ["leak"], secrets = { DB_URL = "env:NBT_CANARY" } }
dies = { notebook = "dies.ipynb", needs = ["fails"], run_if = "all_done" }
other = { notebook = "other.ipynb", needs = ["leak"], params = { url = "{{ tasks.leak.outputs.url }}" } }

[pipelines.killed.tasks]
leak = { notebook = "killed.ipynb", secrets = { DB_URL = "env:NBT_CANARY" } }

[pipelines.absent.tasks]
leak = { notebook = "leak.ipynb", secrets = { DB_URL = "env:NBT_ABSENT", X = "cmd:PYTHON -c 'exit(3)'" } }
"""

WAIT = """
import pathlib, time
pathlib.Path("here").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.02)
"""

LEAK = [
    # How it arrives, and that it comes under no other name.
    """
    import base64, html, json, os, subprocess, sys, threading
    from urllib.parse import quote
    url, file, command = (os.environ[name] for name in ("DB_URL", "FROM_FILE", "FROM_COMMAND"))
    assert url.startswith("https://me:p&ss") and len(file.splitlines()) == 2, "CANARIES ARE NOT WHOLE"
    assert "NBT_CANARY" not in os.environ
    print(sorted(name for name in os.environ if name.startswith(("NBT", "DB", "FROM"))))
    """,
    # In plain text, in pieces, in notations, in lines of base64.
    """
    print(url, repr(url), json.dumps({url: url}), quote(url), url.encode().hex(), html.escape(url), file, command)
    for char in url + file:
        print(char, end="", flush=True)
    print(url[:9], end="", flush=True); print("to the other stream", file=sys.stderr); print(url[9:])
    print(base64.b64encode(url.encode()).decode(), base64.encodebytes(b"a" * 50 + url.encode() * 3).decode())
    """,
    # At the places where text is cut.
    """
    sys.stdout.write("x" * (500_000 - 20) + url + "y" * 600_000 + url + "z" * (500_000 - 20))
    """,
    # Displays, errors that were caught, values that are handed on, names of things.
    """
    from IPython.display import HTML, JSON, display, publish_display_data, update_display
    display(HTML(f"<a href='{quote(url)}'>{html.escape(url)}</a>"), JSON({"rows": [{url: [url, file]}]}))
    image = base64.b64encode(url.encode()).decode()
    publish_display_data({"text/plain": command, "text/x-other": url, "image/png": image, "text/markdown": file})
    display("first", display_id=command); update_display(url, display_id=command)
    import nbflow
    nbflow.output("url", f"see {url}"); nbflow.output("rows", 5)
    globals()[command.replace("-", "_")] = 1
    """,
    # What a process writes by itself, and a child of it.
    """
    os.write(2, (url + "\\n").encode()); os.write(1, url[:11].encode()); os.write(1, url[11:].encode())
    _ = subprocess.run(["sh", "-c", 'echo "$DB_URL"; echo "$FROM_FILE" >&2'])
    !echo $FROM_COMMAND
    threading.Timer(0.1, lambda: print("late", url)).start()
    """,
    WAIT,
]

FAILS = """
import os
class Wrong(Exception): pass
Wrong.__name__ = "Wrong" + os.environ["FROM_COMMAND"]
try:
    raise KeyError(os.environ["DB_URL"])
except KeyError:
    get_ipython().showtraceback()
raise Wrong("x" * 1_985 + os.environ["DB_URL"] + "x" * 100)
"""

DIES = """
import os, sys
os.write(sys.stderr._original_stdstream_copy, (f"{os.environ['FROM_COMMAND']} " * 2_000).encode())
os._exit(3)
"""

KILLED = [
    "import os\nurl = os.environ['DB_URL']\nprint('begun', url, flush=True)\nos.write(2, url.encode())",
    "print(url[:20], end='', flush=True)" + WAIT,
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """The project, and a folder for temporary files that is searched in the end."""
    folder = Folder(tmp_path)
    temporary = Path(tempfile.mkdtemp(prefix="nbs-", dir="/tmp"))
    folder.write("pipelines.toml", PIPELINES.replace("PYTHON", sys.executable))
    folder.notebook("leak.ipynb", None, *(textwrap.dedent(cell).strip("\n") for cell in LEAK))
    folder.notebook("fails.ipynb", None, FAILS)
    folder.notebook("dies.ipynb", None, DIES)
    folder.notebook("other.ipynb", "url = ''", "import os\nprint(sorted(os.environ.items()))\nprint(url)")
    folder.notebook("killed.ipynb", None, *KILLED)
    folder.write("secrets/file.txt", FILE + "\n")
    folder.write("secrets/tell it.py", "print('-'.join(['Command', 'Canary', '90817']))")
    monkeypatch.setenv("NBT_CANARY", CANARY)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield folder
    for left in temporary.rglob("*"):
        assert not left.is_file() or not hits(left.read_bytes()), left
    subprocess.run(["rm", "-rf", str(temporary)], check=True)


def hits(data: bytes) -> list[bytes]:
    """Forms of the canaries that stand in some bytes."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return [form for form in FORMS if form in data]


def assert_clean(folder: Folder) -> None:
    """No file of the project holds a canary, but for the one that is to."""
    seen = 0
    for path in folder.root.rglob("*"):
        if path.is_file() and "secrets" not in path.parts[-2]:
            seen += 1
            assert not hits(path.read_bytes()), path
    assert seen > 5


def nbflow(folder: Folder, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nbflow", *arguments]
    return subprocess.Popen(command, cwd=folder.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """What an nbflow has started, itself included, as long as it lives."""
    me = psutil.Process(process.pid)
    return [me, *me.children(recursive=True)]


def holders(process: subprocess.Popen[bytes], variable: str) -> set[int]:
    """Processes whose environment has a variable; none has a value in its command line."""
    found = set()
    for one in descendants(process):
        try:
            assert not hits(" ".join(one.cmdline()).encode()), one
            if variable in one.environ():
                found.add(one.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_only_the_kernel_that_asked_for_it_has_it_and_nothing_keeps_it(project: Folder) -> None:
    running = nbflow(project, "run", "p", "--json")
    until((project.root / "here").exists, running)
    assert_clean(project)
    journals = list(project.root.rglob("*.jsonl"))
    assert [path.name for path in journals] == ["leak.1.jsonl"]
    # The kernel has it, and its children; a forked one has it in its memory only.
    assert len(holders(running, "DB_URL")) <= 1
    # The variable that it comes from is where the user put it, and with those of us who look it up.
    for one in descendants(running):
        if one.pid in (found := holders(running, "NBT_CANARY")):
            assert {"nbflow", "nbflow.worker"} & set(one.cmdline()), (one.cmdline(), found)
    (project.root / "go").touch()
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1, err
    assert not hits(out)
    assert not hits(err)
    assert_clean(project)

    run = json.loads(out.splitlines()[-1])
    leak, fails, dies, other = run["tasks"]
    assert leak["state"] == "succeeded", leak
    assert fails["error"]["kind"] == ErrorKind.EXCEPTION
    assert fails["error"]["ename"] == "Wrong[secret FROM_COMMAND]"
    assert "x[secret DB_URL]x" in fails["error"]["message"]
    assert dies["error"]["kind"] == ErrorKind.KERNEL_DIED
    assert "] [secret FROM_COMMAND] [" in dies["error"]["message"]
    assert "anary" not in dies["error"]["message"], "a value that was cut through"
    assert other["state"] == "succeeded", other
    document = json.loads((project.root / leak["notebook"]).read_text("utf-8"))
    assert document["metadata"]["nbflow"]["warnings"] == [
        "a value that nbflow.output hands on holds the secret DB_URL: it is masked there too"
    ]
    shown = json.dumps(document["cells"][0]["outputs"])
    assert "['DB_URL', 'FROM_COMMAND', 'FROM_FILE']" in shown
    pieces = json.dumps(document["cells"][1]["outputs"])
    assert pieces.count("[secret DB_URL]") >= 10
    assert pieces.count("[secret FROM_FILE]") == 2
    told = json.loads((project.root / other["notebook"]).read_text("utf-8"))["cells"][-1]["outputs"][0]["text"]
    assert told[-1] == "see [secret DB_URL]\n"
    assert "NBT_CANARY" not in "".join(told)
    assert "FROM_FILE" in "".join(told)

    for arguments in (["show", "p"], ["show", run["run"], "--json"], ["explain", run["run"]], ["logs", run["run"]]):
        out, err = nbflow(project, *arguments).communicate(timeout=60)
        assert not hits(out + err), arguments
    assert b"env:NBT_CANARY" in nbflow(project, "show", "p").communicate(timeout=60)[0]


def test_what_a_killed_worker_leaves(project: Folder) -> None:
    running = nbflow(project, "run", "killed", "--json")
    until((project.root / "here").exists, running)
    (journal,) = project.root.rglob("*.jsonl")
    header = json.loads(journal.read_text("utf-8").splitlines()[0])
    assert header["order"]["secrets"] == {"DB_URL": "env:NBT_CANARY", "FROM_FILE": "file:secrets/file.txt"}
    assert_clean(project)
    os.kill(header["worker"]["pid"], signal.SIGKILL)
    out, err = running.communicate(timeout=120)
    assert not hits(out + err)
    assert_clean(project)
    (task,) = json.loads(out.splitlines()[-1])["tasks"]
    assert task["error"]["kind"] == ErrorKind.LOST
    document = json.loads((project.root / task["notebook"]).read_text("utf-8"))
    assert "begun [secret DB_URL]" in json.dumps(document)


def test_a_secret_without_a_value_fails_the_attempt_before_its_kernel_starts(project: Folder) -> None:
    running = nbflow(project, "run", "absent", "--json")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1, err
    (task,) = json.loads(out.splitlines()[-1])["tasks"]
    assert task["error"]["kind"] == ErrorKind.START_FAILED
    absent = "there is no such environment variable; set it where runs are started"
    assert sorted(task["error"]["message"].splitlines()) == [
        f"the secret DB_URL has no value: env:NBT_ABSENT: {absent}",
        f"the secret X has no value: cmd:{sys.executable} -c 'exit(3)': the program ended with code 3",
    ]
    assert task["cells"]["not_run"] == len(LEAK)


def test_a_source_that_holds_the_value_is_masked_in_the_archive_and_told(project: Folder) -> None:
    project.notebook("killed.ipynb", None, f"url = {CANARY!r}\nprint(len(url))", "import nbflow")
    source = (project.root / "killed.ipynb").read_bytes()
    running = nbflow(project, "run", "killed", "--json")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert not hits(out + err)
    (task,) = json.loads(out.splitlines()[-1])["tasks"]
    document = json.loads((project.root / task["notebook"]).read_text("utf-8"))
    assert document["cells"][0]["outputs"][0]["text"] == [f"{len(CANARY)}\n"]
    assert "[secret DB_URL]" in "".join(document["cells"][0]["source"])
    assert document["metadata"]["nbflow"]["warnings"] == [
        "the source of code cell 1 holds the value of the secret DB_URL: masked here, open in the notebook itself"
    ]
    assert not hits((project.root / task["html"]).read_bytes())
    assert (project.root / "killed.ipynb").read_bytes() == source
    assert escape(CANARY) not in out.decode()
