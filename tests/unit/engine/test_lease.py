"""When the store has to hear of an engine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nbflow.core.rows import LEASE_SECONDS
from nbflow.engine.lease import RENEW_SECONDS, Lease
from nbflow.errors import ConflictError
from nbflow.store.memory import MemoryStore
from support.build import RUN, planned
from support.engines import FakeClock
from support.stored import Kept, dead


class CountingStore(MemoryStore):
    """Counts renewals."""

    renewals = 0

    def renew(self, run: str, fence: int) -> None:
        super().renew(run, fence)
        self.renewals += 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> CountingStore:
    return CountingStore(clock.wall)


@pytest.fixture
def lease(store: CountingStore, clock: FakeClock) -> Lease:
    return Lease(store, RUN, Kept(store, planned("a"), owner="old").fence, clock)


def test_it_is_renewed_when_it_is_time_and_not_before(lease: Lease, store: CountingStore, clock: FakeClock) -> None:
    for _ in range(3):
        clock.go_on(RENEW_SECONDS)
        lease.keep()
        before = store.renewals
        clock.go_on(0.001)
        lease.keep()
        lease.keep()
        assert store.renewals == before + 1
    assert store.renewals == 3


def test_what_is_kept_is_a_sign_of_life_too(lease: Lease, store: CountingStore, clock: FakeClock) -> None:
    for _ in range(10):
        clock.go_on(RENEW_SECONDS - 1)
        lease.signed(lease.instant())
        lease.keep()
    assert store.renewals == 0


def test_a_sign_counts_from_the_beginning_of_its_call(lease: Lease, store: CountingStore, clock: FakeClock) -> None:
    begun = lease.instant()
    clock.go_on(RENEW_SECONDS + 1)
    lease.signed(begun)
    lease.keep()
    assert store.renewals == 1


def test_it_is_renewed_so_often_that_nobody_finds_it_lapsed(
    store: CountingStore, lease: Lease, clock: FakeClock
) -> None:
    for _ in range(200):
        clock.go_on(1.0)
        lease.keep()
        row = store.run(RUN)
        assert row is not None
        assert not row.lapsed
    assert LEASE_SECONDS / RENEW_SECONDS >= 3


def test_before_anything_is_begun_it_is_asked_only_where_it_may_be_lost(
    lease: Lease, store: CountingStore, clock: FakeClock
) -> None:
    clock.go_on(LEASE_SECONDS)
    lease.ensure()
    assert store.renewals == 0
    clock.go_on(1.0)
    lease.ensure()
    assert store.renewals == 1


def test_a_machine_that_slept_has_lost_what_another_took_over(
    lease: Lease, store: CountingStore, clock: FakeClock
) -> None:
    """The monotonic clock stands still meanwhile."""
    store.claim(RUN, "other", dead)
    clock.at += timedelta(hours=8)
    for ask in (lease.keep, lease.ensure):
        with pytest.raises(ConflictError, match="taken over by other"):
            ask()


def test_a_clock_that_is_put_back_keeps_nobody_from_renewing(
    lease: Lease, store: CountingStore, clock: FakeClock
) -> None:
    clock.at -= timedelta(hours=8)
    clock.seconds += RENEW_SECONDS + 1
    lease.keep()
    assert store.renewals == 1


@pytest.mark.parametrize("seconds", [LEASE_SECONDS + 1, -LEASE_SECONDS - 1, 8 * 3600.0, -8 * 3600.0])
def test_where_the_clock_on_the_wall_is_set_the_store_hears_of_us_at_once(
    lease: Lease, store: CountingStore, clock: FakeClock, seconds: float
) -> None:
    """Others judge by it how old our last sign of life is; the engine's own clocks do not see it."""
    clock.put_wall(seconds)
    for _ in range(3):
        lease.keep()
    assert store.renewals == 1
    row = store.run(RUN)
    assert row is not None
    assert not row.lapsed
    clock.go_on(RENEW_SECONDS)
    lease.keep()
    assert store.renewals == 1, "from then on as ever"


def test_what_is_corrected_a_little_hurries_nobody(lease: Lease, store: CountingStore, clock: FakeClock) -> None:
    for seconds in (1.0, -1.0):
        clock.put_wall(seconds)
        lease.keep()
    assert store.renewals == 0
