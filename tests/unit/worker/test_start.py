"""What a kernel is started with, and asking for it ahead."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from nbflow.core.spec import Limits
from nbflow.kernels.specs import KernelSpec
from nbflow.worker.session import KernelSource, Session
from nbflow.worker.start import OWN_THREADS, asked_ahead, kernel_start


def session(source: KernelSource = KernelSource(), **limits: Any) -> Session:
    spec = KernelSpec(name="k", display_name="K", language="python", argv=("k",), env={"FROM_SPEC": "1"})
    unused: Any = dict.fromkeys(("document", "journal", "control", "report"))
    return Session(
        task="t",
        attempt=1,
        kernel=spec,
        source=source,
        root="/root",
        limits=Limits(**limits),
        grace=1.0,
        began=0.0,
        variables={"NBFLOW_TASK": "t"},
        withheld=("HIDDEN",),
        **unused,
    )


@pytest.fixture
def listening(tmp_path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / "z"))
    made.listen()
    made.settimeout(5)
    return made


def test_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", "1")
    environment, source = kernel_start(session(KernelSource(zygote="/z")))
    assert environment["NBFLOW_TASK"] == "t"
    assert "HIDDEN" not in environment
    assert source == KernelSource(zygote="/z")


def test_with_a_limit_of_cores_it_is_not_forked() -> None:
    environment, source = kernel_start(session(KernelSource(zygote="/z"), cpu=1.0))
    assert environment["OMP_NUM_THREADS"] == "1"
    assert source == KernelSource(reason=OWN_THREADS)


def test_it_is_asked_for_at_once(listening: socket.socket) -> None:
    address = str(listening.getsockname())
    with listening, asked_ahead(session(KernelSource(zygote=address))) as started:
        assert started.source.zygote == address
        assert started.source.ahead is not None
        heard, _ = listening.accept()
        with heard, heard.makefile("rb") as lines:
            wish = json.loads(lines.readline())
            assert wish["cwd"] == "/root"
            assert (wish["environment"]["NBFLOW_TASK"], wish["environment"]["FROM_SPEC"]) == ("t", "1")
            started.source.ahead.close()  # as one that nobody takes is, at the end
            assert lines.read() == b""


def test_one_that_nobody_takes_is_given_up(listening: socket.socket) -> None:
    with listening:
        with asked_ahead(session(KernelSource(zygote=str(listening.getsockname())))):
            heard, _ = listening.accept()
        with heard, heard.makefile("rb") as lines:
            assert len(lines.readlines()) == 1  # and then the end


@pytest.mark.parametrize(
    "source", [KernelSource(), KernelSource(reason="none"), KernelSource(zygote="/no/such/socket")]
)
def test_where_nobody_can_be_asked_nothing_changes(source: KernelSource) -> None:
    asked = session(source)
    with asked_ahead(asked) as started:
        assert started is asked


def test_with_a_limit_of_cores_nobody_is_asked(listening: socket.socket) -> None:
    asked = session(KernelSource(zygote=str(listening.getsockname())), cpu=1.0)
    with listening, asked_ahead(asked) as started:
        assert started is asked
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
