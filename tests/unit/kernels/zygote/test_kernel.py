"""A forked kernel is what an ordinary one is: environment, folder, numbers, state; and nobody else's secrets."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.kernels import prelude
from nbflow.kernels.zygotes import Zygote
from support.zygotes import Asker, kernel, private_runtime, zygote

SECRET = "swordfish-0451-plain"


@pytest.fixture(scope="module")
def shared() -> Iterator[Zygote]:
    with private_runtime(), zygote("numpy", "multiprocessing.pool", reserve=2) as made:
        yield made


def test_it_has_the_environment_and_folder_that_were_asked_for(shared: Zygote, tmp_path: Path) -> None:
    with kernel(shared, cwd=str(tmp_path), environment={"TZ": "Asia/Tokyo", "EXTRA": "ü", "TERM": "dumb"}) as one:
        one.run("import os, sys, time, tempfile")
        assert one.value("[os.getcwd(), os.environ['EXTRA'], time.tzname[0]]") == [str(tmp_path), "ü", "JST"]
        assert str(tmp_path) in one.run("_dh")
        assert one.value("[os.environ[n] for n in ('TERM', 'FORCE_COLOR', 'PAGER')]") == ["xterm-color", "1", "cat"]
        assert one.value("os.environ['IPYTHONDIR']") == str(one.folder / "ipython")
        expected = {**one.environment, "IPYTHONDIR": "", "MPLBACKEND": "", "PYDEVD_USE_FRAME_EVAL": ""}
        added = {"CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GIT_PAGER", "PAGER", "TERM"}
        assert set(one.value("dict(os.environ)")) == {*expected, *added}
        assert one.run("!echo $EXTRA") == "ü"


@pytest.mark.parametrize(
    ("cwd", "environment", "reason"),
    [
        ("/no/such/folder", {}, "No such file"),
        ("/", {"HOME": "/elsewhere"}, "another HOME"),
        ("/", {"OMP_NUM_THREADS": "3"}, "another OMP_NUM_THREADS"),
        ("/", {"PYTHONHASHSEED": "7"}, "another PYTHONHASHSEED"),
    ],
)
def test_what_cannot_be_taken_on_is_refused(shared: Zygote, cwd: str, environment: dict[str, str], reason: str) -> None:
    with kernel(shared, cwd=cwd, environment=environment) as one:
        assert reason in one.reply["refused"]


def memory_of(pid: int) -> bytes:
    """All that is in a process's own memory and can be read."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match line.split():
                case [place, mode, *_] if mode.startswith("rw"):
                    start, end = (int(part, 16) for part in place.split("-"))
                    if end - start > 64_000_000:
                        continue  # room of libraries for numbers, mostly unused
                    try:
                        memory.seek(start)
                        parts.append(memory.read(end - start))
                    except (OSError, ValueError, OverflowError):
                        continue
    return b"".join(parts)


def test_a_secret_reaches_no_other_process(shared: Zygote) -> None:
    """Nor is it in what any user may see of processes."""
    with kernel(shared, environment={"TOKEN": SECRET}) as mine, kernel(shared) as other:
        assert mine.value("__import__('os').environ['TOKEN']") == SECRET
        assert SECRET.encode() in memory_of(mine.pid)
        for pid in (shared.process.pid, other.pid, mine.watcher):
            assert SECRET.encode() not in memory_of(pid), psutil.Process(pid).cmdline()
        for process in psutil.process_iter():
            for name in ("cmdline", "environ"):
                try:
                    found = Path(f"/proc/{process.pid}/{name}").read_bytes()
                except OSError:
                    continue
                assert SECRET.encode() not in found


def test_its_folder_is_its_own(shared: Zygote) -> None:
    with kernel(shared) as one, kernel(shared) as other:
        assert one.folder != other.folder
        assert one.reply["connection"]["key"] != other.reply["connection"]["key"]
        assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((one.folder / "k.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(shared.address).parent.stat().st_mode) == 0o700


def test_kernels_draw_different_numbers(shared: Zygote) -> None:
    code = (
        "import random, numpy.random, uuid, secrets, tempfile, os, multiprocessing, json\n"
        "name = tempfile.mktemp(prefix='')\n"
        "key = bytes(multiprocessing.current_process().authkey).hex()\n"
        "print(json.dumps([random.random(), numpy.random.random(), numpy.random.default_rng().random(),"
        " str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(8), name, key]))"
    )
    with kernel(shared) as one, kernel(shared) as other:
        for mine, theirs in zip(json.loads(one.run(code)), json.loads(other.run(code)), strict=True):
            assert mine != theirs


STATE = r"""
import sys, os, gc, signal, threading, locale, json, re, warnings, logging, asyncio, socket, resource, multiprocessing
umask = os.umask(0); os.umask(umask)
descriptors = {}
for number in os.listdir('/proc/self/fd'):
    try:
        target = re.sub(r'\d+', 'N', os.readlink(f'/proc/self/fd/{number}'))
    except OSError:
        continue
    if int(number) > 2:
        descriptors[target] = descriptors.get(target, 0) + os.get_inheritable(int(number))
print(json.dumps({
    'arguments': [re.sub('.*/', '', one) for one in sys.argv], 'path': sys.path, 'flags': str(sys.flags),
    'main': sorted(n for n in vars(sys.modules['__main__']) if not n.startswith('_')),
    'name': __name__, 'mp_main': sys.modules.get('__mp_main__') is sys.modules['__main__'],
    'gc': gc.isenabled(), 'umask': umask, 'locale': locale.setlocale(locale.LC_ALL), 'executable': sys.executable,
    'signals': {s.name: str(signal.getsignal(s)) for s in signal.valid_signals() if isinstance(s, signal.Signals)},
    'blocked': str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    'ignored': re.search(r'SigIgn:\s*(\w+)', open('/proc/self/status').read()).group(1),
    'threads': sorted(t.name for t in threading.enumerate() if 'Poller' not in type(t).__name__),
    'main_thread': threading.current_thread() is threading.main_thread(),
    'inherited': {k: v for k, v in descriptors.items() if v}, 'kinds': sorted(descriptors),
    'streams': [sys.stdout.encoding, type(sys.stdin).__name__, os.isatty(0)],
    'session': os.getsid(0) == os.getpid() == os.getpgrp(), 'root': [logging.root.level, len(logging.root.handlers)],
    'loop': type(asyncio.get_running_loop()).__name__, 'timeout': socket.getdefaulttimeout(),
    'limits': [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK, resource.RLIMIT_CORE)],
    'nice': os.getpriority(os.PRIO_PROCESS, 0), 'oom': open('/proc/self/oom_score_adj').read(),
    'cores': len(os.sched_getaffinity(0)), 'start': multiprocessing.get_start_method(),
    'history': get_ipython().history_manager.enabled, 'count': get_ipython().execution_count,
    'hooks': [str(type(h)) for h in (sys.excepthook, sys.displayhook, sys.unraisablehook)],
}))
"""


def test_its_state_is_that_of_an_ordinary_one(shared: Zygote, tmp_path: Path) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path), extra_arguments=["--HistoryManager.enabled=False"])
    try:
        ordinary = Asker.__new__(Asker)
        ordinary.client = client
        source = Path(prelude.__file__).read_text("utf-8") + "\nprepare()\n"
        client.execute(f"exec({source!r}, {{'__name__': 'prelude'}})", silent=True, store_history=False)
        expected = json.loads(ordinary.run(STATE))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    with kernel(shared, cwd=str(tmp_path)) as one:
        found = json.loads(one.run(STATE))
    for whose in (found, expected):
        whose["arguments"] = [re.sub(r".*\.json", "file", word) for word in whose["arguments"]]
        whose["kinds"] = sorted({kind for kind in whose["kinds"] if kind[:5] not in {"/dev/", "/tmp/"}})
    expected["threads"].remove("Shell channel")  # a forked kernel reads its messages itself
    assert found == expected


def test_what_it_has_open(shared: Zygote) -> None:
    """Nothing of the zygote's own: a descriptor of `/dev/null` is that of its stdin."""
    places = (
        "{n: __import__('os').path.realpath('/proc/self/fd/' + n) for n in __import__('os').listdir('/proc/self/fd')}"
    )
    with kernel(shared) as one:
        assert [number for number, place in one.value(places).items() if place == "/dev/null"] == ["0"]


def test_processes_of_all_kinds(shared: Zygote) -> None:
    with kernel(shared) as one:
        one.run("import multiprocessing as mp, subprocess, os, sys")
        assert one.run("with mp.get_context('fork').Pool(2) as p: print(p.map(len, ['a', 'bb']))") == "[1, 2]"
        assert one.run("with mp.get_context('spawn').Pool(1) as p: print(p.map(len, ['a', 'bb']))") == "[1, 2]"
        assert one.value("subprocess.run(['true']).returncode") == 0
        assert one.run("pid = os.fork()\nif pid == 0: os._exit(3)\nprint(os.waitpid(pid, 0)[1] >> 8)") == "3"
        assert one.end() == {"exit": 0, "cpu": pytest.approx(1, abs=60), "peak": pytest.approx(1e8, rel=10), "left": []}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_cannot_connect(shared: Zygote) -> None:
    code = (
        "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        socket.socket(socket.AF_UNIX).connect(path); print('in')\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "try: open(sys.argv[2].rsplit('/', 1)[0] + '/k.json'); print('in')\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    with kernel(shared) as one:
        paths = [shared.address, str(one.folder / "k-1")]
        done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["PermissionError"] * 3, done.stderr


def test_the_folder_of_the_zygotes_program_is_not_on_the_path() -> None:
    """Neither where Python puts it there, nor where it is told not to."""
    with private_runtime():
        for environment in ({}, {"PYTHONSAFEPATH": "1"}):
            with zygote(environment=environment) as made, kernel(made, environment=environment) as one:
                path = one.value("__import__('sys').path")
                assert ("" in path) == (not environment)
                assert path[0].endswith(".zip")
                assert not [place for place in path if place.endswith("zygote")]
