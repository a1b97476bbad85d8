"""The first look at object storage, which is in memory here."""

from __future__ import annotations

import pytest

from nbflow.archive import look
from nbflow.archive.look import Look
from nbflow.archive.objects import Objects
from nbflow.archive.refusals import SilentError
from support.held import HeldFileSystem, silent
from support.waiting import until


def test_what_the_storage_says(url: str) -> None:
    found = Look(Objects(url))
    assert found.refusal() is None
    assert found.is_over
    HeldFileSystem.down = PermissionError("no")
    refusal = Look(Objects(url)).refusal()
    assert refusal is not None
    assert refusal.lasting


def test_storage_that_does_not_answer_is_waited_for_a_while(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "LONGEST", 0.1)
    with silent():
        found = Look(Objects(url))
        refusal = found.refusal()
        assert isinstance(refusal, SilentError)
        assert not refusal.lasting
        assert refusal.message == f"{url} has not answered for 0.1 s"
        assert not found.is_over
    until(lambda: found.is_over)
    assert found.refusal() is None
