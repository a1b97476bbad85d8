"""The process that becomes a kernel: initialised while nobody waits for it, then given to the one who asks.

Until it is given it knows nothing of any task; environment and working directory, secrets among them, come by the
connection of the one who asked, which the zygote hands over unread. Standard library and ipykernel only.
"""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import json
import os
import re
import secrets
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from . import end, system
from .deferred import Deferred
from .shell import Begun

AT_START = re.compile(
    "(PYTHON|LD_|LC_|MALLOC_|OMP_|KMP_|OPENBLAS_|GOTO_|MKL_|BLIS_|NUMEXPR_|NUMBA_|MPL).*"
    "|LANG|LANGUAGE|HOME|MATPLOTLIBRC|XDG_CACHE_HOME|XDG_CONFIG_HOME|PYDEVD_.*"
)
"""Variables that are read when Python starts or a library is loaded: later they have no effect."""
_HISTORY = "--HistoryManager.enabled=False"


@dataclass
class Loaded:
    """What a zygote has before it forks: the half of a kernel, and what the modules leave to the other half.

    `began_with` is the environment that the zygote was started with, `environment` the one that loading has left;
    `modules` are the names of what was loaded for notebooks, packages only by their first part.
    """

    begun: Begun
    began_with: dict[str, str]
    environment: dict[str, str]
    modules: frozenset[str]
    deferred: Deferred


def run(loaded: Loaded, settings: dict[str, Any], channel: socket.socket, folder: str) -> None:
    """Be a kernel until it ends. `channel` leads to the process that watches this one."""
    os.setsid()
    words = _take_output()
    _prepare_environment(folder)
    loaded.deferred.reseed()
    _renew_key()
    reply = {"pid": os.getpid(), "folder": folder, "connection": _connection(folder)}
    app = _initialise(loaded.begun, settings, folder)
    loaded.deferred.register_exits()

    def be_given(*_events: Any) -> None:
        """Somebody has asked: by this connection come environment and folder, and our answer goes back."""
        loop.remove_handler(channel)
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        channel.close()
        if not descriptors:
            os._exit(0)  # nobody has asked, and now nobody will
        with socket.socket(fileno=descriptors[0]) as asker:
            request = system.receive_line(asker)
            if not request:
                os._exit(0)
            try:
                _become(json.loads(request), loaded)
                app.shell.user_ns["_dh"][:] = [type(app.shell.user_ns["_dh"][0])(os.getcwd())]
            except Exception as error:  # whatever it is, whoever asked can have a kernel in the ordinary way
                system.send(asker, {"refused": str(error)})
                os._exit(0)
            system.send(asker, reply, (words,))
        os.close(words)
        gc.enable()

    async def be_ready() -> None:
        await _rehearse(app.kernel)
        loaded.begun.note_modules()
        loop.add_handler(channel, be_given, loop.READ)
        channel.sendall(b"r")

    # All is running when the kernel is given away: who gets it waits for nothing.
    loop = _loop()
    loop.add_callback(be_ready)
    app.start()
    end.leave(loaded.begun.own_modules)


def _loop() -> Any:
    from tornado.ioloop import IOLoop

    return IOLoop.current()


async def _rehearse(kernel: Any) -> None:
    """Run a cell that does nothing: the first one takes longer than others. Nothing of it can be seen afterwards."""
    await kernel.do_execute("None", True, store_history=False, allow_stdin=False)


def _take_output() -> int:
    """A pipe for what the process itself says, beside its cells; the end to read from."""
    read_end, write_end = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (write_end, 1), (write_end, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(write_end)
    return read_end


def _prepare_environment(folder: str) -> None:
    """What of the environment belongs to this kernel itself, whoever asks for it."""
    ipython = os.path.join(folder, "ipython")
    os.mkdir(ipython, 0o700)
    os.environ["IPYTHONDIR"] = ipython


def _renew_key() -> None:
    """The key by which processes of one notebook trust each other."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.current_process().authkey = os.urandom(32)


def _connection(folder: str) -> dict[str, Any]:
    """Where the kernel's sockets are, with a key of its own; written as its connection file."""
    ports = {f"{name}_port": port for port, name in enumerate(("shell", "iopub", "stdin", "hb", "control"), start=1)}
    connection: dict[str, Any] = {
        **ports,
        "transport": "ipc",
        "ip": os.path.join(folder, "k"),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "",
    }
    descriptor = os.open(os.path.join(folder, "k.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(connection, file)
    return connection


def _initialise(begun: Begun, settings: dict[str, Any], folder: str) -> Any:
    """ipykernel's application, all but started; the same options as an ordinary start has."""
    launcher = importlib.util.find_spec("ipykernel_launcher")
    file = os.path.join(folder, "k.json")
    sys.argv = [str(launcher.origin) if launcher is not None else "ipykernel_launcher", "-f", file, _HISTORY]
    sys.orig_argv = [sys.executable, *settings["options"], "-m", "ipykernel_launcher", *sys.argv[1:]]
    app = begun.finish(file)
    if "__mp_main__" in sys.modules:
        sys.modules["__mp_main__"] = sys.modules["__main__"]  # multiprocessing was loaded before the notebook's module
    prelude = importlib.util.spec_from_file_location("_nbflow_prelude", settings["prelude"])
    if prelude is None or prelude.loader is None:
        raise ImportError(settings["prelude"])
    module = importlib.util.module_from_spec(prelude)
    prelude.loader.exec_module(module)
    module.prepare()
    end.shorten_search(app.kernel)
    return app


def _become(request: dict[str, Any], loaded: Loaded) -> None:
    """Take on the environment and the working directory that were asked for. Raises OSError and ValueError."""
    asked, before = request["environment"], loaded.began_with
    for name in sorted({*asked, *before}):
        if AT_START.fullmatch(name) and asked.get(name) != before.get(name):
            raise ValueError(f"it is to have another {name} than the zygote, which is read at the start only")
    for name in sorted(loaded.deferred.variables):
        if asked.get(name) != before.get(name):
            raise ValueError(f"it is to have another {name} than the zygote, where a library has read it when loaded")
    standard: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())  # comes before what is in the folder
    there = frozenset(os.listdir(request["cwd"]))
    for name in sorted(loaded.modules - standard):
        if _is_in(request["cwd"], there, name):
            raise ValueError(f'the module "{name}" in its folder comes before the one that the zygote has loaded')
    environment = {**asked, **_changes(before, loaded.environment, asked)}
    environment.update(_changes(loaded.environment, dict(os.environ), {}))
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    os.chdir(request["cwd"])


def _is_in(folder: str, there: frozenset[str], name: str) -> bool:
    """Whether a folder, in which `there` is, has a module of that name: a file, or a package with a file of its own."""
    suffixes = importlib.machinery.all_suffixes()
    if name in there:
        files = (os.path.join(folder, name, f"__init__{suffix}") for suffix in suffixes)
        if any(os.path.isfile(file) for file in files):
            return True
    files = (f"{name}{suffix}" for suffix in suffixes)
    return any(file in there and os.path.isfile(os.path.join(folder, file)) for file in files)


def _changes(before: dict[str, str], after: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """What was set in between; what is asked for otherwise stays as it is asked for."""
    return {
        name: value
        for name, value in after.items()
        if value != before.get(name) and asked.get(name) in {None, before.get(name)}
    }
