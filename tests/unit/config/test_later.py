"""Shapes of later keys: right ones pass, wrong ones do not, so that an editor can already tell."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from nbflow.config import later
from nbflow.config.shape import Anything


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (later.SCHEDULE, "0 6 * * *", 6),
        (later.SCHEDULE, {"cron": "@daily", "catchup": "all"}, {"cron": "@daily", "catchup": "yes"}),
        (later.SCHEDULE, {"cron": "@daily"}, {"catchup": "all"}),
        (later.OVERLAP, "queue", "wait"),
        (later.NUMBER, 1, -1),
        (later.TEXTS, ["pandas"], "pandas"),
        (later.EXECUTORS, {"hpc": {"type": "dask", "address": "tls://s"}}, {"hpc": {"address": "tls://s"}}),
        (later.ALERTS, {"oncall": {"url": "env:X"}}, {"on call": {"url": "env:X"}}),
        (later.REPORTS, {"daily": {"task": "a", "keep": "90d"}}, {"daily": {"formats": ["html"]}}),
        (later.ASSETS, {"raw": {"path": "x", "automation": "eager"}}, {"raw": {"automation": "often"}}),
        (later.ASSETS, {"raw": {"freshness": {"warn_after": "1d"}}}, {"raw": {"freshness": {"warn": "1d"}}}),
        (later.ASSETS, {"raw": {"checks": [{"name": "n", "type": "rows", "min": 1}]}}, {"raw": {"checks": [{}]}}),
    ],
)
def test_shapes(kind: Anything, good: Any, bad: Any) -> None:
    check = jsonschema.Draft202012Validator(kind.schema()).is_valid
    assert check(good)
    assert not check(bad)
