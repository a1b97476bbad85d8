"""Many notebooks at once: each has a kernel, sockets and an archived notebook of its own, and none waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.kernels.environ import OWNER_MARK
from support.attempts import notebook

CELLS = (
    (
        "import os, pathlib, time\n"
        "from ipykernel.connect import get_connection_file\n"
        "pathlib.Path('up', str(os.getpid())).write_text(get_connection_file())"
    ),
    # All of them live at the same time, else the test would prove nothing.
    (
        "deadline = time.monotonic() + 240\n"
        "while len(os.listdir('up')) < int(os.environ['ALL']) and time.monotonic() < deadline:\n"
        "    time.sleep(0.1)\n"
        "len(os.listdir('up'))"
    ),
)


def left(folder: Path) -> list[str]:
    """Processes of the runs in a folder that still live."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(OWNER_MARK, "").startswith(str(folder)):
                found.append(f"{process.name()} ({process.pid})")
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
def test_many_at_once(tmp_path: Path, count: int) -> None:
    (tmp_path / "one.ipynb").write_text(json.dumps(notebook(*CELLS)))
    tasks = [f't{number:03} = {{ notebook = "one.ipynb" }}' for number in range(count)]
    (tmp_path / "pipelines.toml").write_text("\n".join(["[pipelines.many.tasks]", *tasks]))
    (tmp_path / "up").mkdir()
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "run", "many", "-j", str(count), "--json"],
        cwd=tmp_path,
        env={**os.environ, "ALL": str(count), "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["state"] == "succeeded", [task["error"] for task in document["tasks"] if task["error"]]
    files = [place.read_text() for place in (tmp_path / "up").iterdir()]
    assert len(set(files)) == count
    for task in document["tasks"]:
        archived = json.loads((tmp_path / task["notebook"]).read_text("utf-8"))
        assert archived["metadata"]["nbflow"]["environment"]["kernel_start"] == "forked"
        assert archived["cells"][1]["outputs"][0]["data"]["text/plain"] == [str(count)]
    assert left(tmp_path) == []
    assert not any(Path(file).exists() for file in files)
    assert list((tmp_path / "tmp").iterdir()) == []
