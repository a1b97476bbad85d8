"""Where each archived file lies: pure paths, POSIX style, relative to the archive root (interface.md section 5).

Every name that becomes part of a path is judged here, so that no run id, task or slug, wherever it came from,
can leave its folder. Must not touch a disk.
"""

from __future__ import annotations

import re

from nbflow.errors import UsageError

STATE_FOLDER = ".nbflow"
"""Below the archive root: the store, journals; nothing that a reader needs."""

MAX_NAME = 200
"""Bytes of one name: file systems take 255, and temporary names are longer than final ones."""

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.ASCII | re.IGNORECASE)


def run_folder(pipeline: str, run: str) -> str:
    """`sales/sales-20260131T060000-k3fa`: all that a run leaves."""
    return f"{checked_name(pipeline)}/{checked_name(run)}"


def notebook_path(folder: str, slug: str) -> str:
    """The executed notebook of the attempt that counts."""
    return f"{checked_path(folder)}/{checked_name(f'{slug}.ipynb')}"


def page_path(folder: str, slug: str) -> str:
    """The same as a page."""
    return f"{checked_path(folder)}/{checked_name(f'{slug}.html')}"


def attempt_path(folder: str, slug: str, attempt: int, suffix: str = ".ipynb") -> str:
    """What an earlier attempt left: `attempts/<slug>.<n>.ipynb`."""
    return f"{checked_path(folder)}/attempts/{checked_name(f'{slug}.{attempt}{suffix}')}"


def manifest_path(folder: str) -> str:
    """The manifest of a run."""
    return f"{checked_path(folder)}/run.json"


def index_path(folder: str) -> str:
    """The run as a page."""
    return f"{checked_path(folder)}/index.html"


def journal_folder(run: str) -> str:
    """Where the attempts of a run write their journals."""
    return f"{STATE_FOLDER}/journals/{checked_name(run)}"


def journal_path(run: str, slug: str, attempt: int) -> str:
    """The journal of one attempt."""
    return f"{journal_folder(run)}/{checked_name(f'{slug}.{attempt}.jsonl')}"


def checked_name(text: str) -> str:
    """The text itself, where it may be one name of an archived path.

    Allowed are ASCII letters, digits, `_`, `-` and `.`. Raises UsageError for all else: separators, `..`, a leading
    dash, a trailing dot (Windows drops it), names of Windows devices, more than MAX_NAME bytes.
    """
    fits = _NAME.fullmatch(text) and not text.endswith(".") and not _DEVICE.match(text) and len(text) <= MAX_NAME
    if not fits:
        raise UsageError(
            f"{_shown(text)} cannot be a file name in the archive",
            hint="letters, digits, '_', '-' and '.' are allowed, up to 200 of them",
        )
    return text


def checked_path(text: str) -> str:
    """The text itself, where it is a relative path of allowed names joined by `/`. Raises UsageError."""
    for part in text.split("/"):
        checked_name(part)
    return text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
