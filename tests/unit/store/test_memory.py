"""The store in memory beyond what every store does (`tests/conformance/test_store.py`)."""

from __future__ import annotations

from nbflow.store.memory import MemoryStore
from support.build import RUN, planned
from support.stored import Kept, cells


def test_two_stores_share_nothing() -> None:
    one, two = MemoryStore(), MemoryStore()
    Kept(one, planned("a"))
    assert two.run(RUN) is None
    assert two.runs() == []


def test_events_that_come_while_some_are_read_do_not_disturb() -> None:
    store = MemoryStore()
    run = Kept(store, planned("a"))
    reading = store.events(RUN)
    store.append(*cells(run.state, 3), run.fence)
    assert [stamped.seq for stamped in reading] == [1]
    assert len(list(store.events(RUN))) == 4


def test_it_works_on_after_close() -> None:
    """A simulated crash closes the store; what it holds is what was on the disk."""
    store = MemoryStore()
    Kept(store, planned("a"))
    store.close()
    assert store.run(RUN) is not None
