"""Files that are written on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.cli.files import write_file
from nbflow.errors import UsageError


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "漢\n")
    write_file(tmp_path / "b", b"\x00")
    assert (tmp_path / "a").read_bytes() == "漢\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00"


@pytest.mark.parametrize("name", ["none/a", ".", "a\0b"])
def test_a_place_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_file(tmp_path / name, "x")
