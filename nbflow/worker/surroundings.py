"""Where an attempt runs, as far as it may matter for results: host, interpreter, packages, locale, time zone.

Packages are looked at again at the end: a notebook may have changed them. Must not know journals or kernels at work.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbflow.kernels.packages import Change, installed_packages, package_changes, package_folders
from nbflow.kernels.specs import KernelSpec
from nbflow.version import __version__

_LOCALTIME = Path("/etc/localtime")
_ZONES = "zoneinfo/"


def surroundings(kernel: KernelSpec | None) -> dict[str, Any]:
    """The `environment` of a notebook's metadata, but for what only the kernel itself can tell."""
    variables = ("LC_ALL", "LC_CTYPE", "LANG")
    return {
        "interpreter": kernel.interpreter if kernel is not None else None,
        "nbflow": __version__,
        "platform": platform.platform(),
        "host": platform.node(),
        "locale": next((os.environ[name] for name in variables if os.environ.get(name)), "C"),
        "timezone": _timezone(),
        "packages": packages_of(kernel),
    }


def packages_of(kernel: KernelSpec | None) -> dict[str, str]:
    """Names and versions of the packages that a Python kernel can import; empty where that is not certain."""
    if kernel is None or not kernel.runs_ipykernel:
        return {}
    return installed_packages(package_folders(kernel.interpreter, os.environ))


def changed_packages(kernel: KernelSpec | None, before: Mapping[str, str]) -> dict[str, Change]:
    """What has become of the packages of a kernel since `before`."""
    return package_changes(before, packages_of(kernel))


def say_changes(changes: Mapping[str, Change]) -> str:
    """Changes of packages in a line for people."""
    shown = [f"{name} {old or 'was not there'} -> {new or 'gone'}" for name, (old, new) in list(changes.items())[:5]]
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return f"installed packages changed while the notebook ran: {', '.join(shown)}{more}"


def _timezone() -> str:
    """The zone of local times in the kernel: an IANA name where the system says it, else an abbreviation."""
    if name := os.environ.get("TZ"):
        return name
    _, found, zone = os.path.realpath(_LOCALTIME).partition(_ZONES)
    return zone if found else time.tzname[0]
