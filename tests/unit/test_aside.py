"""Work in threads that nothing waits for."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from nbflow import aside
from nbflow.aside import Aside, patiently, unheard


def test_what_comes_of_it() -> None:
    assert Aside(lambda: 3, "three").result() == 3
    with pytest.raises(ZeroDivisionError):
        Aside(lambda: 1 // 0, "none").result()


def test_it_is_waited_for_as_long_as_one_wants() -> None:
    go = threading.Event()
    begun = Aside(go.wait, "slow")
    assert not begun.wait(0.01)
    assert not begun.is_over
    go.set()
    assert begun.wait()
    assert begun.is_over


def test_what_takes_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    assert patiently(lambda: 3, told.append, "slow") == 3
    assert told == []
    monkeypatch.setattr(aside, "PATIENCE", 0.01)
    go = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        go.set()

    assert patiently(go.wait, tell, "slow")
    assert told == ["slow"]
    unheard("slow")


def test_it_holds_up_no_process() -> None:
    source = "import threading\nfrom nbflow.aside import Aside\nAside(threading.Event().wait, 'stuck')\nprint('end')"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == ("end\n", "")
