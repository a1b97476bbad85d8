"""The key `outputs`: a folder of this machine, or the URL of object storage. Must not reach what it names."""

from __future__ import annotations

from typing import Any

from nbflow.config.shape import LocalPath, Reading, Schema
from nbflow.core.addresses import is_url, url_fault
from nbflow.core.faults import KeyPath


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
