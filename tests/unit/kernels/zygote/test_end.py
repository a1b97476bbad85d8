"""At its end a forked kernel writes all that an ordinary Python process would: files, finalizers, exit handlers."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.kernels.zygotes import Zygote
from support.zygotes import kernel, private_runtime, zygote

FILES = """
import bz2, csv, gzip, io, json, logging, logging.handlers, lzma, tarfile, zipfile, numpy, builtins
a = open('open.txt', 'w'); a.write('text')
b = open('open.bin', 'wb'); b.write(b'bytes')
c = gzip.open('open.gz', 'wt'); c.write('zip' * 10)
file = open('open.csv', 'w', newline=''); rows = csv.writer(file); rows.writerow([1, 2]); del file
d = io.TextIOWrapper(io.BufferedWriter(io.FileIO('layers.txt', 'w'))); d.write('layers')
e = zipfile.ZipFile('open.zip', 'w'); e.writestr('name', 'content')
json.kept = open('module.txt', 'w'); json.kept.write('module')
numpy.kept = gzip.open('module.gz', 'wt'); numpy.kept.write('zip' * 10)
builtins.kept = zipfile.ZipFile('module.zip', 'w'); kept.writestr('name', 'content')
class Cycle: pass
f = Cycle(); f.itself = f; f.file = open('cycle.txt', 'w'); f.file.write('cycle')
numpy.ring = [open('ring.txt', 'w')]; numpy.ring.append(numpy.ring); numpy.ring[0].write('ring')
handler = logging.handlers.MemoryHandler(100, target=logging.FileHandler('log.txt'))
logging.root.addHandler(handler); logging.warning('kept')
open('shown.txt', 'w')
"""
OBJECTS = """
import atexit, contextlib, json, threading, time, tempfile, weakref, builtins, sqlite3, numpy
from concurrent.futures import ThreadPoolExecutor
class A:
    def __init__(self, name): self.name = name
    def __del__(self):
        with open('gone.txt', 'a') as file: file.write(self.name + ' ')
one = A('one'); _two = A('two'); ring = [A('ring')]; ring.append(ring)
json.kept = A('module'); numpy.kept = A('numpy'); builtins.kept = A('builtin')
class Fails:
    def __del__(self): raise RuntimeError('in a finalizer')
fails = Fails()
def generate():
    try: yield
    finally: open('generator.txt', 'w').write('closed')
generator = generate(); next(generator)
atexit.register(lambda: open('atexit.txt', 'w').write('ran'))
atexit.register(lambda: 1 / 0)
folder = tempfile.TemporaryDirectory(dir='.', prefix='folder')
named = tempfile.NamedTemporaryFile(dir='.', prefix='folder')
class Watched: pass
watched = Watched(); weakref.finalize(watched, lambda: open('finalize.txt', 'w').write('ran'))
def work():
    time.sleep(0.3); open('thread.txt', 'w').write('done')
threading.Thread(target=work).start()
pool = ThreadPoolExecutor(1)
for number in range(3): pool.submit(lambda n=number: (time.sleep(0.1), open(f'pool{n}.txt', 'w').write('done')))
db = sqlite3.connect('x.db'); db.execute('create table t (a)'); db.commit(); db.execute('insert into t values (1)')
def busy():
    while True: len([str(n) for n in range(100)])
for _ in range(3): threading.Thread(target=busy, daemon=True).start()
A('result')
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote("numpy") as made:
        yield made


def run(shared: Zygote, folder: Path, *cells: str) -> dict[str, object]:
    with kernel(shared, cwd=str(folder)) as one:
        for cell in cells:
            one.run(cell)
        return one.end()


def test_files_are_finished(shared: Zygote, tmp_path: Path) -> None:
    assert run(shared, tmp_path, FILES)["exit"] == 0
    found = {place.name: place.read_bytes() for place in tmp_path.iterdir()}
    assert {name: found[name] for name in found if name.endswith(("txt", "bin", "csv"))} == {
        "open.txt": b"text",
        "open.bin": b"bytes",
        "open.csv": b"1,2\r\n",
        "layers.txt": b"layers",
        "module.txt": b"module",
        "cycle.txt": b"cycle",
        "ring.txt": b"ring",
        "log.txt": b"kept\n",
        "shown.txt": b"",
    }
    for name in ("open", "module"):
        assert gzip.decompress(found[f"{name}.gz"]) == b"zip" * 10
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            assert archive.read("name") == b"content"


def test_objects_are_finalized_once_and_threads_awaited(shared: Zygote, tmp_path: Path) -> None:
    ended = run(shared, tmp_path, OBJECTS, "try:\n    raise ValueError(A('error'))\nexcept ValueError: raise")
    assert (ended["exit"], ended["left"]) == (0, [])
    gone = (tmp_path / "gone.txt").read_text().split()
    assert sorted(gone) == sorted(["one", "two", "ring", "module", "numpy", "builtin", "result", "error"])
    written = {place.name for place in tmp_path.iterdir()}
    assert written == {
        *("gone.txt", "generator.txt", "atexit.txt", "finalize.txt", "thread.txt", "x.db"),
        *(f"pool{number}.txt" for number in range(3)),
    }
    with sqlite3.connect(tmp_path / "x.db") as db:
        assert db.execute("select count(*) from t").fetchone() == (0,)


def test_modules_of_the_project_too(shared: Zygote, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("file = open('mine.txt', 'w'); file.write('mine')")
    run(shared, tmp_path, "import mine")
    assert (tmp_path / "mine.txt").read_text() == "mine"
