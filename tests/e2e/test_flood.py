"""Output without measure, on real kernels: nothing is lost, memory and notebook stay small, interrupts are felt."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.core.attempt import ErrorKind, Outcome, Verdict, WorkOrder
from nbflow.core.spec import Limits
from nbflow.kernels.footprint import Footprint
from support import attempts
from support.attempts import Bench, archived, bench, order, states, text
from support.waiting import allowed

THREADS = """
import threading, multiprocessing
def talk(who):
    for number in range(4_000):
        print(f"{who} {number:05d} " + "z" * 90)
talkers = [threading.Thread(target=talk, args=(f"thread-{n}",)) for n in range(3)]
talkers.append(multiprocessing.get_context("fork").Process(
    target=lambda: [print(f"child {number:05d} " + "z" * 50_000) for number in range(40)]
))
for one in talkers: one.start()
for one in talkers: one.join()
"""
DESCRIPTORS = """
import os, subprocess
line = ("é" * 500 + "\\n").encode()
for _ in range(1_000): os.write(1, line)
subprocess.run(["sh", "-c", "yes ö | head -n 100000"], check=True)
"""
BAR = """
import sys
for number in range(36_000):
    sys.stderr.write(f"\\r{number + 1:>5}/36000 |" + "#" * (number // 1000))
    if number % 500 == 0: sys.stderr.flush()
"""
CLEARED = """
from IPython.display import clear_output
for number in range(5):
    print("x" * 700_000)
    clear_output(wait=True)
print("only this")
"""
SHOWN = """
from IPython.display import display
import base64
display({"image/png": base64.b64encode(b"\\x89PNG" + bytes(5_000_000)).decode(), "text/plain": "<Figure>"}, raw=True)
raise ValueError("v" * 600_000)
"""

CAPTURED = """
import ipywidgets
from IPython.display import clear_output, display
out = ipywidgets.Output()
with out:
    for number in range(3_000): display(number)
"""
SYNCED = "print(len(out.outputs), out.outputs[-1]['data'])"
DRAWN = """
picture, label = ipywidgets.Image(), ipywidgets.Output()
for number in range(30):
    clear_output(wait=True)
    display({"text/plain": f"{number:>1000000}"}, raw=True)
    picture.value = b"%03d" % number + bytes(500_000)
    with label:
        clear_output(wait=True)
        display({"text/plain": f"{number:>200000}"}, raw=True)
"""
MANY = """
for number in range(3_000): display({"text/plain": f"{number:>10000}"}, raw=True)
display({"application/vnd.nbflow.output.v2+json": "x" * 30_000_000}, raw=True)
"""


@pytest.fixture(scope="module")
def runs() -> Iterator[Bench]:
    with bench(grace=5.0) as made:
        yield made


def beside(done: WorkOrder, name: str) -> bytes:
    """What a file beside the notebook holds."""
    data = (Path(done.outputs) / done.folder / f"{done.slug}.{name}").read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def names(outcome: Outcome) -> list[str]:
    return sorted(Path(file.path).name for file in outcome.files)


def test_whatever_way_it_is_printed_all_of_it_is_there(runs: Bench, tmp_path: Path) -> None:
    before = "kept = 1\nbefore = set(dir())"
    lines = "for number in range(100_000): print(f'{number:06d} ' + 'x' * 92)"
    traces = "print(sorted(n for n in set(dir()) - before if n[0] != '_'))"
    done = order(tmp_path, before, lines, traces, THREADS, DESCRIPTORS, BAR, CLEARED, SHOWN)
    outcome, document = runs.run(done)
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.EXCEPTION
    assert states(document) == ["ok"] * 7 + ["failed"]
    files = ["cell-2.stdout.txt.gz", "cell-4.stdout.txt.gz", "cell-5.stdout.txt.gz"]
    files += ["cell-8.output-1.png", "cell-8.output-2.txt.gz"]
    assert names(outcome) == sorted(["clean.ipynb", "clean.html", *(f"clean.{file}" for file in files)])

    whole = "".join(f"{number:06d} {'x' * 92}\n" for number in range(100_000))
    assert beside(done, files[0]).decode() == whole
    shown = text(document["cells"][1])
    mark = "[truncated: 9,000,000 characters of stdout are left out here; all of it is beside this in clean."
    assert shown == f"{whole[:500_000]}\n{mark}{files[0]}]\n{whole[-500_000:]}"
    assert text(document["cells"][2]) == "['before', 'number']\n"
    assert [cell["execution_count"] for cell in document["cells"]] == list(range(1, 9))

    said = beside(done, files[1]).decode()
    # A line and its end are printed apart: the text of another thread may come between them. A forked process sends
    # each message by a connection of its own, which may be overtaken.
    assert sorted(re.findall(r"child (\d+) ", said)) == [f"{number:05d}" for number in range(40)]
    for n in range(3):
        assert re.findall(rf"thread-{n} (\d+) ", said) == [f"{number:05d}" for number in range(4_000)]
    assert said.count("z") == 3 * 4_000 * 90 + 40 * 50_000
    written = beside(done, files[2]).decode()
    assert (written.count("é"), written.count("ö"), written.count("\ufffd")) == (500_000, 100_000, 0)
    assert text(document["cells"][5]) == "36000/36000 |" + "#" * 35
    assert text(document["cells"][6]) == "only this\n"

    image, error = document["cells"][7]["outputs"]
    assert "".join(image["data"]["text/plain"]).startswith("<Figure>\n[truncated: 6,666,672 characters of image/png")
    assert beside(done, files[3]) == b"\x89PNG" + bytes(5_000_000)
    assert beside(done, files[4]).decode().endswith("v" * 600_000)
    assert sum(map(len, error["traceback"])) < 501_000
    size = (Path(done.outputs) / done.folder / "clean.ipynb").stat().st_size
    assert size < 20_000_000


def test_what_is_shown_without_end_or_again_and_again(runs: Bench, tmp_path: Path) -> None:
    done = order(tmp_path, CAPTURED, SYNCED, DRAWN, MANY)
    outcome, document = runs.run(done)
    assert outcome.error is None
    captured, synced, drawn, many = document["cells"]
    assert len(captured["outputs"]) == 2_000
    assert text(synced) == "1000 {'text/plain': '999'}\n"

    assert [text(drawn).strip()] == ["29"]
    widgets = document["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    found = [one["state"]["outputs"] for one in widgets if one["state"].get("outputs")]
    shown = sorted(found, key=len, reverse=True)  # the notebook has them by their ids, which are random
    assert [len(one) for one in shown] == [1_000, 1]
    assert "".join(shown[1][0]["data"]["text/plain"]).strip() == "29"
    (picture,) = (one for one in widgets if one["model_name"] == "ImageModel")
    assert base64.b64decode(picture["buffers"][0]["data"]) == b"029" + bytes(500_000)

    kept = len(many["outputs"]) - 1
    assert 500 < kept < 1_500
    mark = f"[truncated: {3_001 - kept:,} outputs of this cell are left out here; all of them are beside this in "
    assert many["outputs"][-1]["data"]["text/plain"] == [f"{mark}clean.cell-4.output-more.jsonl.gz]"]
    lines = beside(done, "cell-4.output-more.jsonl.gz").splitlines()
    assert [int(json.loads(line)["data"]["text/plain"]) for line in lines[:-1]] == list(range(kept, 3_000))
    assert (Path(done.outputs) / done.folder / "clean.ipynb").stat().st_size < 25_000_000
    assert Path(done.journal).stat().st_size < 60_000_000


def test_an_output_widget_can_be_interrupted(runs: Bench, tmp_path: Path) -> None:
    source = CAPTURED.replace("range(3_000)", "iter(int, 1)")
    began = time.monotonic()
    outcome, document = runs.run(order(tmp_path, source, limits=Limits(cell_timeout=4.0)))
    assert time.monotonic() - began < allowed(30)
    assert outcome.error is not None
    assert outcome.error.message.endswith("it was interrupted")
    assert states(document) == ["failed"]


def test_an_interrupt_ends_a_flood(runs: Bench, tmp_path: Path) -> None:
    done = order(tmp_path, "while True: print('x' * 99)", "print('never')", limits=Limits(cell_timeout=2.0))
    began = time.monotonic()
    outcome, document = runs.run(done)
    assert time.monotonic() - began < allowed(20)
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT
    assert outcome.error.message.endswith("it was interrupted")
    assert states(document) == ["failed", "not_run"]
    assert set(beside(done, "cell-1.stdout.txt.gz").decode().split("\n")) <= {"x" * 99, ""}
    assert "[truncated: " in text(document["cells"][0])


def watch(over: threading.Event, peaks: list[int]) -> None:
    """Note how much memory all that this process has started holds, until it is over."""
    footprint = Footprint(os.getpid(), 0)
    while not over.wait(0.5):
        peaks.append(footprint.read().size)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("source", "size", "most"),
    [
        ("line = 'x' * 99\nfor _ in range(10_000_000): print(line)", 1_000_000_000, 400_000_000),
        ("print('x' * 200_000_000)", 200_000_001, 1_500_000_000),  # the notebook itself has it in memory
        ("for number in range(1_000_000): print(number % 10, flush=True)", 2_000_000, 400_000_000),
    ],
)
def test_a_very_great_flood(
    runs: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, size: int, most: int
) -> None:
    monkeypatch.setattr(attempts, "LONGEST", 1_200.0)
    done = order(tmp_path, source)
    over, peaks = threading.Event(), [0]
    watching = threading.Thread(target=watch, args=(over, peaks))
    watching.start()
    try:
        outcome, document = runs.run(done)
    finally:
        over.set()
        watching.join()
    assert outcome.verdict is Verdict.SUCCEEDED
    assert 0 < max(peaks) < most
    assert (Path(done.outputs) / done.folder / "clean.ipynb").stat().st_size < 20_000_000
    found = 0
    with gzip.open(Path(done.outputs) / done.folder / "clean.cell-1.stdout.txt.gz") as file:
        while piece := file.read(1_000_000):
            found += len(piece)
    assert found == size
    assert "[truncated: " in text(archived(done)["cells"][0])
    assert states(document) == ["ok"]
