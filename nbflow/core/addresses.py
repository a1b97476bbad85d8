"""Where an archive may lie: a folder of this machine, or a URL that fsspec knows. Pure: asks nobody, reaches nothing.

A URL may hold a password by mistake, so no message of this module shows one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

PACKAGES: Mapping[str, tuple[str, str]] = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
}
"""Scheme -> the module that fsspec loads for it, and our extra that installs it."""

READ_ONLY = frozenset({"http", "https", "data", "git", "github", "zip", "tar", "reference"})
CREDENTIALS = "credentials come from the environment, as for other tools of that storage; the file names the place only"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def is_url(text: str) -> bool:
    """Whether a text names a scheme, as in `s3://bucket/prefix`; one letter before `:` is a drive of Windows."""
    return _URL.match(text) is not None


def scheme_of(url: str) -> str:
    """`s3` of `s3://bucket/prefix`, in small letters."""
    found = _URL.match(url)
    return found[1].lower() if found else ""


def local_path(url: str) -> str | None:
    """The absolute path that a `file://` URL names; None for any other URL."""
    return unquote(urlsplit(url).path) if scheme_of(url) == "file" else None


def url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with the URL of an archive, and what to do; None where nothing is."""
    if not url.isprintable() or " " in url or "\\" in url:
        return "a URL holds no spaces, backslashes or control characters", "such as s3://bucket/prefix"
    scheme = scheme_of(url)
    if "::" in url:
        return "URLs cannot be chained", "give one URL, such as s3://bucket/prefix"
    if scheme == "memory":
        return "an archive in memory would be gone when nbflow ends", "give a folder, or a URL of object storage"
    if scheme in READ_ONLY:
        return f"an archive cannot be written by {scheme}", "give a folder, or a URL such as s3://bucket/prefix"
    place = url.split("://", 1)[1]
    host, _, path = place.partition("/")
    if scheme == "file":
        return None if not host and path else ("this is no absolute path", "write file:///folder, or the path itself")
    user = host.rpartition("@")[0]
    if ":" in user or (user and scheme in ("s3", "s3a", "gs", "gcs")):
        return "a URL of an archive cannot hold credentials", CREDENTIALS
    if "?" in place or "#" in place:
        return "a URL of an archive has no query and no fragment", CREDENTIALS
    if not host:
        return "the name of the bucket is missing", f"such as {scheme}://bucket/prefix"
    if any(part in ("", ".", "..") for part in path.rstrip("/").split("/")) and path.rstrip("/"):
        return "a prefix has no empty parts, no '.' and no '..'", f"such as {scheme}://bucket/prefix"
    return None
