"""The key `outputs`: a folder of this machine, or the URL of object storage. Must not reach what it names."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from nbflow.config.shape import LocalPath, Reading, Schema
from nbflow.core.addresses import PACKAGES, is_url, scheme_of, url_fault
from nbflow.core.faults import Fault, KeyPath
from nbflow.core.spec import ProjectSpec


class ArchivePlace:
    """A path on this machine, or a URL such as `s3://bucket/prefix`."""

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        """The path as it is written; a URL without a slash at its end."""
        if not isinstance(value, str) or not is_url(value):
            return LocalPath().read(value, at, reading)
        if fault := url_fault(value):
            return reading.fault(at, *fault)
        return value if value.startswith("file:") else value.rstrip("/")

    def schema(self) -> Schema:
        """Any text: what is wrong with a URL is told in words."""
        return {"type": "string", "minLength": 1}


def archive_faults(spec: ProjectSpec) -> Iterator[Fault]:
    """A warning where the package that reaches the archive is not installed: runs may be started elsewhere."""
    package = PACKAGES.get(scheme_of(spec.outputs)) if is_url(spec.outputs) else None
    if package is not None and find_spec(package[0]) is None:
        message = f"{scheme_of(spec.outputs)}:// needs the package {package[0]}, which is not installed here"
        hint = f"install it: pip install 'jupyter-nbflow[{package[1]}]'"
        yield Fault(key=("nbflow", "outputs"), message=message, hint=hint, warning=True)
