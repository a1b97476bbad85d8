"""What is told of an attempt: what became of the processes that its notebook had left behind."""

from __future__ import annotations

from nbflow.core.attempt import STILL_RUNNING, fate


def test_what_became_of_a_process_is_told_by_its_name() -> None:
    assert fate("sleep (pid 12)") == "was ended"
    assert fate(f"sleep (pid 12{STILL_RUNNING}") == "could not be ended"
