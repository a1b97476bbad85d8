"""The zygotes of one process: started once, started again when they die, with reasons where there is none."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbflow.kernels.zygotes import KernelZygotes
from support.zygotes import LONGEST, is_gone, kernel, packages, private_runtime, until


@pytest.fixture
def zygotes() -> Iterator[KernelZygotes]:
    with private_runtime():
        made = KernelZygotes()
        try:
            yield made
        finally:
            made.close()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """A kernelspec named `odd`."""
    place = folder / "kernels/odd"
    place.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    document = {"argv": argv, "display_name": "Odd", "language": "python", **fields}
    (place / "kernel.json").write_text(json.dumps(document))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


def test_one_zygote_for_a_kernel(zygotes: KernelZygotes) -> None:
    zygotes.prepare("python3", [], "/")
    zygotes.prepare("python3", ["numpy"], "/tmp")
    (address,) = zygotes.addresses().values()
    assert zygotes.addresses() == {"python3": address}
    assert zygotes.reasons() == {}
    with kernel(address) as one:
        assert one.value("'numpy' in __import__('sys').modules") is False
    zygotes.close()
    assert not Path(address).parent.exists()
    assert zygotes.addresses() == {}


def test_one_that_has_died_is_started_again(zygotes: KernelZygotes) -> None:
    zygotes.prepare("python3", [], "/")
    (address,) = zygotes.addresses().values()
    with kernel(address):
        zygotes._zygotes["python3"].process.kill()
        zygotes._zygotes["python3"].process.wait()
        (other,) = zygotes.addresses().values()
    assert other != address
    with kernel(other) as one:
        assert one.value("1") == 1


def test_one_that_cannot_be_loaded_is_not(
    zygotes: KernelZygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in packages(tmp_path, {"ipykernel": "raise ImportError('none here')"}).items():
        monkeypatch.setenv(name, value)
    zygotes.prepare("python3", [], "/")
    until(lambda: "python3" not in zygotes.addresses(), LONGEST)
    assert zygotes.reasons() == {"python3": "the zygote could not be loaded: ImportError: none here"}
    zygotes.prepare("python3", [], "/")
    assert zygotes.addresses() == {}


@pytest.mark.parametrize(
    ("source", "how"), [("import os; os.abort()", "signal 6, SIGABRT"), ("import os; os._exit(3)", "exit code 3")]
)
def test_one_that_dies_while_it_loads(
    zygotes: KernelZygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, how: str
) -> None:
    """Once may be an accident; twice is not tried again."""
    for name, value in packages(tmp_path, {"deadly": source}).items():
        monkeypatch.setenv(name, value)
    zygotes.prepare("python3", ["deadly"], "/")
    started = {zygotes._zygotes["python3"].process.pid}

    def is_given_up() -> bool:
        zygotes.addresses()
        started.update(one.process.pid for one in zygotes._zygotes.values())
        return bool(zygotes.reasons())

    until(is_given_up, LONGEST)
    assert len(started) == 2
    assert zygotes.reasons() == {"python3": f"the zygote ended 2 times while it was loading libraries ({how})"}
    assert zygotes.addresses() == {}


def test_one_that_never_comes_to_an_end_of_loading(
    zygotes: KernelZygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in packages(tmp_path, {"slow": "import time; time.sleep(1000)"}).items():
        monkeypatch.setenv(name, value)
    zygotes.prepare("python3", ["slow"], "/")
    assert set(zygotes.addresses()) == {"python3"}
    monkeypatch.setattr("nbflow.kernels.zygotes._LONGEST_LOAD", 0.0)
    assert zygotes.addresses() == {}
    assert zygotes.reasons() == {"python3": "the zygote was still loading libraries after 0 s"}


def test_other_withheld_variables_need_another_zygote(zygotes: KernelZygotes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other modules do not."""
    monkeypatch.setenv("PASSWORD", "swordfish")
    zygotes.prepare("python3", [], "/")
    first = zygotes._zygotes["python3"].process.pid
    zygotes.prepare("python3", ["numpy"], "/", frozenset())
    assert zygotes._zygotes["python3"].process.pid == first
    zygotes.prepare("python3", [], "/", frozenset({"PASSWORD"}))
    assert is_gone(first)
    (address,) = zygotes.addresses().values()
    with kernel(address) as one:
        assert one.value("1") == 1
    environment = Path(f"/proc/{zygotes._zygotes['python3'].process.pid}/environ").read_bytes()
    assert b"swordfish" not in environment


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"interrupt_mode": "message"}, "interrupts by message"),
        (
            {"argv": [sys.executable, "-m", "ipykernel_launcher", "--debug", "-f", "{connection_file}"]},
            "options of its own",
        ),
        ({"argv": [sys.executable, "-I", "-m", "ipykernel_launcher", "-f", "{connection_file}"]}, "options of its own"),
        ({"argv": ["bash_kernel", "{connection_file}"], "language": "bash"}, "only Python kernels"),
        ({"env": {"A": "${HOME}/x"}}, "variables that refer to others"),
        ({"metadata": {"kernel_provisioner": {"provisioner_name": "far-away"}}}, "is not installed here"),
        (
            {"argv": ["/no/such/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]},
            "no zygote could be started",
        ),
    ],
)
def test_kernels_that_are_not_forked(
    zygotes: KernelZygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], reason: str
) -> None:
    install(tmp_path, monkeypatch, **fields)
    zygotes.prepare("odd", [], "/")
    assert zygotes.addresses() == {}
    assert reason in zygotes.reasons()["odd"]


def test_reasons_that_need_no_kernel(zygotes: KernelZygotes) -> None:
    zygotes.prepare("python3", None, "/")
    zygotes.prepare("no-such", [], "/")
    assert zygotes.reasons()["python3"] == "preload = false"
    assert "is not installed here" in zygotes.reasons()["no-such"]


def test_variables_of_the_kernelspec_and_withheld_ones(
    zygotes: KernelZygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, env={"OF_SPEC": "1"}, argv=[sys.executable, "-Xutf8", *ARGUMENTS])
    monkeypatch.setenv("PASSWORD", "swordfish")
    zygotes.prepare("odd", [], "/", frozenset({"PASSWORD"}))
    zygote = zygotes._zygotes["odd"]
    until(lambda: not zygote.is_alive() or zygote.is_loaded, LONGEST)
    environment = Path(f"/proc/{zygote.process.pid}/environ").read_bytes().split(b"\0")
    assert b"OF_SPEC=1" in environment
    assert not any(part.startswith(b"PASSWORD=") for part in environment)
    with kernel(zygote, environment={"OF_SPEC": "1"}) as one:
        assert one.value("[__import__('sys').flags.utf8_mode, __import__('sys')._xoptions]") == [1, {"utf8": True}]


ARGUMENTS = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.mark.parametrize("call", ["socketpair", "socket"])
def test_one_that_finds_no_more_files_to_open_leaves_nothing(
    zygotes: KernelZygotes, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    opened: Callable[..., Any] = getattr(socket, call)

    def fail(*arguments: object) -> Any:
        if len(arguments) > 1:  # what a pair is made of
            return opened(*arguments)
        raise OSError(24, "Too many open files")

    before = psutil.Process().num_fds()
    with monkeypatch.context() as patch:
        patch.setattr(socket, call, fail)
        zygotes.prepare("python3", [], "/")
    assert zygotes.reasons() == {"python3": "no zygote could be started: [Errno 24] Too many open files"}
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).iterdir())
    assert psutil.Process().num_fds() == before


def test_closing_ends_one_that_is_still_loading(zygotes: KernelZygotes) -> None:
    zygotes.prepare("python3", ["numpy", "pandas"], "/")
    pid = zygotes._zygotes["python3"].process.pid
    zygotes.close()
    assert is_gone(pid)
