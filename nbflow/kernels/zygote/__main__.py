"""The kernel zygote: run by the Python of a kernelspec, with its settings as JSON in the only argument.

Standard library only, for Python 3.9 and later: a kernel's environment needs ipykernel, not nbflow. The package is
loaded under a private name, so that nothing a notebook imports can be mistaken for it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGE = "_nbflow_zygote"


def _load() -> None:
    place = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, place / "__init__.py", submodule_search_locations=[str(place)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} cannot be loaded")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:  # not where PYTHONSAFEPATH is set
        del sys.path[0]  # IPython puts the kernel's own folder there
    _load()
    importlib.import_module(f"{PACKAGE}.server").main(sys.argv[1])
