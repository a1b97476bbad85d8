"""nbflow: chain parameterized notebooks into pipelines and keep every executed notebook as the run's log.

Public names are loaded on first use, so that `import nbflow` inside a kernel costs a few milliseconds, and Ctrl-C finds
the command still without anything to take apart.
"""

from __future__ import annotations

from nbflow.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nbflow.notebook import check, materialize, output, run
    from nbflow.project import Project

__all__ = ["Project", "__version__", "check", "materialize", "output", "run"]


def __getattr__(name: str) -> Any:
    if name == "Project":
        from nbflow.project import Project

        return Project
    if name in __all__:
        from nbflow import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'nbflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
