"""Files that a command writes for its user."""

from __future__ import annotations

from pathlib import Path

from nbflow.errors import UsageError


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that the user has named. Raises UsageError where that cannot be."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.write_bytes(data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot write {path}: {reason}", hint="give the path of a file in a folder that exists"
        ) from None
