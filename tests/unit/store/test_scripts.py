"""SQL that lies beside an adapter."""

from __future__ import annotations

import pytest

from nbflow.store.scripts import read_migrations, read_statements

PACKAGES = ["nbflow.store", "nbflow.store.postgres"]


@pytest.mark.parametrize("package", PACKAGES)
def test_statements_have_names_and_one_end(package: str) -> None:
    found = read_statements(package)
    assert {"create_run", "claim_run", "read_events"} <= set(found)
    for name, text in found.items():
        assert text, name
        assert text.rstrip().endswith(";") or name == "make_schema", name
        assert "-- name" not in text


@pytest.mark.parametrize("package", PACKAGES)
def test_migrations_are_numbered_without_a_gap(package: str) -> None:
    found = read_migrations(package)
    assert [step.number for step in found] == list(range(1, len(found) + 1))
    assert all(step.name.startswith(f"{step.number:04d}_") and step.script for step in found)
