"""Named SQL statements from `queries.sql`, and rows to and from the core's values. Must not know a database driver.

What events are is imported where one is read or kept: listing runs does without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbflow.core.rows import LEASE_SECONDS, Past, PoolUse, RunRow
from nbflow.errors import UnreachableError
from nbflow.store.scripts import read_statements

if TYPE_CHECKING:
    from nbflow.core.events import Stamped
    from nbflow.core.messages import Cancel
    from nbflow.core.rows import Projection


def statements() -> dict[str, str]:
    """name -> statement of `queries.sql`."""
    return read_statements("nbflow.store")


def event_values(stamped: Stamped) -> dict[str, Any]:
    """What `add_event` binds."""
    from nbflow.core import events as ev

    return {
        "run": stamped.run,
        "seq": stamped.seq,
        "at": to_instant(stamped.at),
        "type": ev.type_of(stamped.event),
        "body": to_json(ev.dump(stamped.event)),
    }


def event_of(row: Sequence[Any]) -> Stamped:
    """An event from a row of `read_events`."""
    from nbflow.core import events as ev

    run, seq, at, kind, body = row
    return ev.Stamped(run=run, seq=seq, at=datetime.fromisoformat(at), event=ev.load(kind, json.loads(body)))


def run_values(row: RunRow) -> dict[str, Any]:
    """What `create_run`, `update_run` and `move_run` bind of a row."""
    return {
        "run": row.run,
        "pipeline": row.pipeline,
        "state": row.state,
        "created": to_instant(row.created),
        "seq": row.seq,
        "document": to_json(row.document),
    }


def run_of(row: Sequence[Any]) -> RunRow:
    """A run from a row of `read_run` or `read_runs`."""
    run, pipeline, state, created, seq, document, owner, fence, lapsed = row
    return RunRow(
        run=run,
        pipeline=pipeline,
        state=state,
        created=datetime.fromisoformat(created),
        seq=seq,
        document=json.loads(document),
        owner=owner,
        fence=fence,
        lapsed=bool(lapsed),
    )


def task_values(projection: Projection) -> list[dict[str, Any]]:
    """What `put_task` and `update_task` bind, for each task that changed."""
    return [
        {
            "run": projection.row.run,
            "position": position,
            "task": document["task"],
            "state": document["state"],
            "document": to_json(document),
            "outputs": to_json(projection.outputs[position]) if position in projection.outputs else None,
        }
        for position, document in projection.tasks.items()
    ]


def task_of(row: Sequence[Any]) -> Mapping[str, Any]:
    """A task document from a row of `read_tasks`."""
    document: Mapping[str, Any] = json.loads(row[0])
    return document


def pool_values(use: PoolUse) -> dict[str, Any]:
    """What `put_pool` and `drop_pool` bind."""
    since = None if use.since is None else to_instant(use.since)
    return {"run": use.run, "pool": use.pool, "held": use.held, "wanted": use.wanted, "since": since}


def pool_of(row: Sequence[Any]) -> PoolUse:
    """The use of a pool from a row of `read_pools`."""
    run, pool, held, wanted, since, owner, lapsed = row
    return PoolUse(
        run=run,
        pool=pool,
        held=held,
        wanted=wanted,
        since=None if since is None else datetime.fromisoformat(since),
        owner=owner,
        lapsed=bool(lapsed),
    )


def past_of(row: Sequence[Any]) -> Past:
    """A success from the row of `read_last_success`: where a result was only taken over, the run that it came from."""
    run, document, outputs = row
    return Past(run=json.loads(document)["reused_from"] or run, outputs=json.loads(outputs))


def request_text(request: Cancel) -> str:
    """A request as it is stored."""
    from nbflow.core import codec

    return to_json(codec.dump(request))


def request_of(row: Sequence[Any]) -> Cancel:
    """A request from a row of `read_requests`."""
    from nbflow.core import codec
    from nbflow.core.messages import Cancel

    return codec.load(Cancel, json.loads(row[0]))


@contextmanager
def decoding(place: object) -> Iterator[None]:
    """Name the store where what it holds makes no sense: a newer nbflow wrote it, or it is damaged."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreachableError(
            f"{place}: the store holds something that this nbflow cannot read: {error!r}",
            hint="upgrade nbflow; if it is the newest, restore the store from a backup",
        ) from error


def to_instant(at: datetime) -> str:
    """UTC, microseconds, one length for all: text that sorts as time does."""
    return _text(at.astimezone(UTC))


@lru_cache(maxsize=64)  # the events of an append have one
def _text(at: datetime) -> str:
    """Of an instant in UTC only: in other zones, the two that an hour has which comes twice are equal."""
    return at.isoformat(timespec="microseconds")


def lease(now: datetime) -> dict[str, str]:
    """What statements that look at leases bind: between which instants a sign of life keeps its run. One from further
    ahead is of before the clock was put back: to wait until that has caught up would be too long.
    """
    length = timedelta(seconds=LEASE_SECONDS)
    return {"expired": to_instant(now - length), "ahead": to_instant(now + length)}


def to_json(value: Any) -> str:
    """Compact JSON text, in ASCII: notebooks print lone surrogates too, which have no UTF-8 form."""
    return _ENCODER.encode(value)


def _plain_mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain_mapping, check_circular=False)
