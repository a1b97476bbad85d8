"""The process that becomes a kernel: initialised while nobody waits for it, then given to the one who asks.

Until it is given it knows nothing of any task; environment and working directory, secrets among them, come by the
connection of the one who asked, which the zygote hands over unread. Standard library and ipykernel only.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import secrets
import socket
import sys
import time
from typing import Any

from . import end, system

_HISTORY = "--HistoryManager.hist_file=:memory:"


def run(application: Any, settings: dict[str, Any], channel: socket.socket, folder: str) -> None:
    """Be a kernel until it ends. `channel` leads to the process that watches this one."""
    os.setsid()
    words = _take_output()
    added = _prepare_environment(folder)
    _reseed()
    reply = {"pid": os.getpid(), "folder": folder, "connection": _connection(folder)}
    app = _initialise(application, settings, folder)
    shared = set(sys.modules)

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
            _become(json.loads(request), added)
            system.send(asker, reply, (words,))
        os.close(words)
        gc.enable()

    async def be_ready() -> None:
        await _rehearse(app.kernel)
        shared.update(sys.modules)
        loop.add_handler(channel, be_given, loop.READ)
        channel.sendall(b"r")

    # All is running when the kernel is given away: who gets it waits for nothing.
    loop = _loop()
    loop.add_callback(be_ready)
    app.start()
    end.leave(shared)


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


def _prepare_environment(folder: str) -> dict[str, str]:
    """What of the environment belongs to this kernel itself, whoever asks for it."""
    ipython = os.path.join(folder, "ipython")
    os.mkdir(ipython, 0o700)
    os.environ["IPYTHONDIR"] = ipython
    return {"IPYTHONDIR": ipython}


def _reseed() -> None:
    """Kernels of one zygote must not draw the same numbers; the module `random` sees to that itself."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


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


def _initialise(application: Any, settings: dict[str, Any], folder: str) -> Any:
    """ipykernel's application, all but started; the same options as an ordinary start has."""
    from traitlets.config import Config

    launcher = importlib.util.find_spec("ipykernel_launcher")
    file = os.path.join(folder, "k.json")
    sys.argv = [str(launcher.origin) if launcher is not None else "ipykernel_launcher", "-f", file, _HISTORY]
    app = application.instance(config=Config({"HistoryManager": {"hist_file": ":memory:"}}), connection_file=file)
    app.parse_command_line = lambda _: None  # said above; to build a parser takes a fifth of the whole
    app.initialize([])
    prelude = importlib.util.spec_from_file_location("_nbflow_prelude", settings["prelude"])
    if prelude is None or prelude.loader is None:
        raise ImportError(settings["prelude"])
    module = importlib.util.module_from_spec(prelude)
    prelude.loader.exec_module(module)
    module.prepare()
    end.shorten_search(app.kernel)
    return app


def _become(request: dict[str, Any], added: dict[str, str]) -> None:
    """Take on the environment and the working directory that were asked for."""
    kept = {"MPLBACKEND": os.environ["MPLBACKEND"]}  # set by ipykernel, as in any kernel
    os.environ.clear()
    os.environ.update({**kept, **request["environment"], **added})
    time.tzset()
    os.chdir(request["cwd"])
