"""Numbers of bytes as people read them."""

from __future__ import annotations

import pytest

from nbflow.core.sizes import size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 KB"),
        (3_449, "3.4 KB"),
        (900_000, "900 KB"),
        (1_234_567, "1.2 MB"),
        (45_000_000, "45 MB"),
        (1_250_000_000, "1.2 GB"),
        (512_000_000_000, "512 GB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
