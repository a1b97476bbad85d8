"""One look for the charts of the example notebooks."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats

INK = "#1f2933"
MUTED = "#6b7785"
BLUE = "#2f6f9f"
ORANGE = "#d9742b"
GREY = "#aab2bb"


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
