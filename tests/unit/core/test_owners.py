"""How messages name the owner of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.owners import describe


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        ("host:12:345.ab@1769860800", "process 12 on host, since 2026-01-31 12:00:00 UTC"),
        ("fe80::1:12:345@0", "process 12 on fe80::1, since 1970-01-01 00:00:00 UTC"),
        ("host:12:345", "process 12 on host"),
        ("host:12:345@soon", "process 12 on host"),
        ("host:12:345@99999999999999", "process 12 on host"),
        ("test", "test"),
        ("host:x:1", "host:x:1"),
        ("::", "::"),
    ],
)
def test_an_owner_is_named_by_process_host_and_start(owner: str, text: str) -> None:
    assert describe(owner) == text


@given(st.text(st.sampled_from("a1:@.-"), min_size=1, max_size=20))
def test_any_text_has_a_description(owner: str) -> None:
    assert describe(owner)
