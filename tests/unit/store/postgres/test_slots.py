"""Slots that were decided upon, and are given out later."""

from __future__ import annotations

import pytest

from nbflow.core.rows import PoolUse
from nbflow.store.postgres.slots import may_be_taken


def uses(text: str) -> list[PoolUse]:
    """What runs hold: `run:pool:held ...`."""
    parts = [one.split(":") for one in text.split()]
    return [PoolUse(run=run, pool=pool, held=int(held)) for run, pool, held in parts]


@pytest.mark.parametrize(
    ("wanted", "seen", "now", "found"),
    [
        ("me:db:1", "", "", False),
        ("me:db:1", "", "you:db:1", True),
        ("me:db:1", "you:db:1", "you:db:1", False),
        ("me:db:1", "you:db:2", "you:db:1", False),
        ("me:db:1", "you:db:1 she:db:1", "she:db:2", False),
        ("me:db:1", "you:db:1 she:db:1", "she:db:3", True),
        ("me:db:1", "", "you:api:1", False),
        ("me:db:1 me:api:1", "", "you:api:1", True),
        ("me:db:1", "me:db:1", "me:db:1 you:db:1", False),
        ("me:db:0", "me:db:1", "me:db:1 you:db:1", False),
        ("me:db:2", "me:db:1", "me:db:1 you:db:1", True),
        ("", "", "you:db:1", False),
    ],
)
def test_they_may_be_anothers_by_now(wanted: str, seen: str, now: str, found: bool) -> None:
    assert may_be_taken(uses(wanted), uses(seen), uses(now)) is found
