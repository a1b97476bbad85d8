"""Files below a URL, through fsspec: each is written whole with one request, and only where nothing is yet.

The one module that loads fsspec, and with it the package of the storage, when the URL is first used. Credentials and
endpoints come from where those packages look for them: the environment and their own files. All methods may be called
from any thread. Must not know runs or what the bytes mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader, RawIOBase
from math import ceil
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from nbflow.archive.layout import STATE_FOLDER, checked_path
from nbflow.archive.refusals import StorageError, code_of, is_taken, is_unknown_to_it, missing_package, refusal
from nbflow.core.addresses import scheme_of
from nbflow.errors import NotFoundError, UnreachableError

MARKER = f"{STATE_FOLDER}/archive.json"
"""An object that every archive has: to write it anew shows that the storage lets us, and whether it overwrites."""

_MARK = b'{"schema": "nbflow.archive/1"}\n'
_PIECE = 1_048_576
_PART = 52_428_800
"""Bytes of a part of a large object: what is as long as one or longer replaces another in parts."""

_MOST_PARTS = 10_000
_S3_SCHEMES = ("s3", "s3a")
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_WRITE_SECONDS, _SLOWEST = 60.0, 10_000
"""A write may take so many seconds, and more for what it brings: one for so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there: `size` in bytes, the SHA-256 (hex) of its content, and the mark of its version, if any."""

    size: int
    sha256: str
    etag: str | None = None


class Objects:
    """What lies below a URL such as `s3://bucket/prefix`. Methods raise StorageError where the storage says no."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._lock = threading.Lock()
        self._opened: Any = None
        self._creates = False
        self._checked = False

    def address(self, path: str) -> str:
        """The URL of a path."""
        return f"{self.url}/{checked_path(path)}"

    def load(self) -> None:
        """Load the package of the storage, which may take seconds on a busy machine; nobody is asked."""
        _kind(self.url)

    def check(self) -> None:
        """Prove, by a small object that stays, that objects can be written; nothing is asked a second time."""
        if self._checked:
            return
        try:
            # Written twice: a storage that ignores the condition lets the second one pass.
            creates = not all(self._write_mark() for _ in range(2))
            self._creates, self._checked = creates, True
        except Exception as error:
            raise self._refused(error, self.url) from error

    def create(self, path: str, source: Path) -> bool:
        """Write a new object from a file, whole; False where there is one already, which stays as it is."""
        self.check()
        address = self.address(path)
        try:
            if not self._creates and self._files().exists(address):
                return False
            self._put(source, address, {"mode": "create"} if self._creates else {})
        except Exception as error:
            if is_taken(error):
                return False
            raise self._refused(error, address) from error
        self._verify(path, source)
        return True

    def replace(self, path: str, source: Path, found: Found) -> bool:
        """Write an object in place of one that was found there; False where it is another one by now, or none.

        Only S3 is asked whether it is, and where it gives marks of versions.
        """
        self.check()
        address = self.address(path)
        try:
            if found.etag is None or scheme_of(self.url) not in _S3_SCHEMES:
                self._put(source, address, {})
            elif _size(source) < _PART:
                self._put(source, address, {"IfMatch": found.etag})
            else:
                _replace_in_parts(self._files(), source, address, found.etag)
        except Exception as error:
            if is_taken(error) or _is_missing(error):
                return False
            raise self._refused(error, address) from error
        self._verify(path, source)
        return True

    def find(self, path: str) -> Found | None:
        """What is there, read whole; None where nothing is."""
        try:
            with self.open(path) as file:
                digest, size = sha256(), 0
                while data := file.read(_PIECE):
                    digest.update(data)
                    size += len(data)
                details = getattr(file.raw, "details", {})
                return Found(size=size, sha256=digest.hexdigest(), etag=details.get("ETag"))
        except NotFoundError:
            return None

    def remove(self, folder: str) -> None:
        """Remove everything below a folder. What is gone already is no error: it may be asked for again."""
        address = self.address(folder)
        try:
            files = self._files()
            files.invalidate_cache()
            if found := files.find(address):
                files.rm(found)
        except Exception as error:
            if not _is_missing(error):
                raise self._refused(error, address) from error

    @contextmanager
    def open(self, path: str) -> Iterator[BufferedReader[Any]]:
        """An object to read from. Raises NotFoundError where there is none."""
        address = self.address(path)
        try:
            file = self._files().open(address, "rb")
        except Exception as error:
            if _is_missing(error):
                raise NotFoundError(f"the archive has no file {address}") from error
            raise self._refused(error, address) from error
        with file, BufferedReader(_Reader(file, lambda error: self._refused(error, address))) as reader:
            yield reader

    def _write_mark(self) -> bool:
        """Write the marker anew; False where the storage sees that it is there."""
        address = self.address(MARKER)
        try:
            self._files().pipe_file(address, _MARK, mode="create", **_limit(self._files(), len(_MARK)))
        except Exception as error:
            if is_taken(error):
                return False
            if not is_unknown_to_it(error):
                raise
            self._files().pipe_file(address, _MARK, **_limit(self._files(), len(_MARK)))
        return True

    def _put(self, source: Path, address: str, options: dict[str, Any]) -> None:
        self._files().put_file(str(source), address, **options, **_limit(self._files(), _size(source)))

    def _verify(self, path: str, source: Path) -> None:
        """Raise StorageError where what has been written is not as long as its source."""
        address = self.address(path)
        try:
            size = self._files().info(address)["size"]
        except Exception as error:
            raise self._refused(error, address) from error
        if size != (wanted := _size(source)):
            raise StorageError(f"{address} has {size} bytes after it was written, not {wanted}")

    def _files(self) -> Any:
        """The file system of fsspec, made at its first use: by then the modules may have to be loaded."""
        with self._lock:
            if self._opened is None:
                self._opened = _file_system(self.url)
            return self._opened

    def _refused(self, error: BaseException, address: str) -> StorageError:
        """The error as ours. After one about credentials the next use reads them anew: they may have been renewed."""
        if isinstance(error, StorageError):
            return error
        found = refusal(error, address)
        if found.login:
            with self._lock:
                self._opened = None
        return found


class _Reader(RawIOBase):
    """A file of fsspec, whose errors are told from those of whoever takes what is read."""

    def __init__(self, file: Any, refused: Callable[[BaseException], StorageError]) -> None:
        super().__init__()
        self._file = file
        self._refused = refused

    @property
    def details(self) -> dict[str, Any]:
        """What the storage says of the object."""
        return getattr(self._file, "details", None) or {}

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; 0 at the end."""
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise self._refused(error) from error
        buffer[: len(data)] = data
        return len(data)


def _replace_in_parts(files: Any, source: Path, address: str, etag: str) -> None:
    """Write a large object on S3 in place of the version `etag`. Raises FileExistsError where it is another by now.

    The `put_file` of s3fs gives the condition only with the first request of an upload in parts, where it has no
    effect. It holds where the object comes to be, which is with the last one. A storage that ignores it there is looked
    at just before, after all that takes time.
    """
    bucket, key, _ = files.split_path(address)
    kind, _ = guess_type(source.name)
    place = {"Bucket": bucket, "Key": key}
    upload = files.call_s3("create_multipart_upload", **place, **({"ContentType": kind} if kind else {}))
    place["UploadId"] = upload["UploadId"]
    try:
        length = max(_PART, ceil(_size(source) / _MOST_PARTS))
        parts: list[dict[str, Any]] = []
        with source.open("rb") as file:
            while data := file.read(length):
                part = {"PartNumber": len(parts) + 1, "Body": data}
                made = files.call_s3("upload_part", **place, **part, **_limit(files, len(data)))
                parts.append({"PartNumber": len(parts) + 1, "ETag": made["ETag"]})
        if files.info(address).get("ETag") != etag:
            raise FileExistsError(address)
        files.call_s3("complete_multipart_upload", **place, MultipartUpload={"Parts": parts}, IfMatch=etag)
    except Exception:
        with suppress(Exception):  # nobody sees these parts, and why there is no object matters more
            files.call_s3("abort_multipart_upload", **place)
        raise


def _limit(files: Any, size: int) -> dict[str, float]:
    """The option by which fsspec gives up a write that takes far too long, where its file system knows it.

    The limits of the packages below it do not hold while a storage has a request and has not yet asked for its body.
    """
    return {"timeout": _WRITE_SECONDS + size / _SLOWEST} if files.async_impl else {}


def _size(source: Path) -> int:
    """Bytes of a file here. Raises UnreachableError where it is gone by now."""
    try:
        return source.stat().st_size
    except OSError as error:
        raise UnreachableError(f"cannot read {source}: {error.strerror or error}") from error


def _is_missing(error: BaseException) -> bool:
    """Whether an object is not there; a bucket that is not there is another matter."""
    return isinstance(error, FileNotFoundError) and code_of(error.__cause__ or error) != "NoSuchBucket"


def _kind(url: str) -> Any:
    """What makes the file system of a URL. Raises StorageError where no package can reach it."""
    import fsspec

    try:
        return fsspec.get_filesystem_class(scheme_of(url))
    except (ImportError, ValueError) as error:
        raise missing_package(url) from error


def _file_system(url: str) -> Any:
    """The file system of a URL. Raises StorageError where no package can reach it."""
    kind = _kind(url)
    from fsspec.config import conf

    scheme = scheme_of(url)
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    try:
        if scheme in _S3_SCHEMES:
            own = {key: value for name in ("s3", "s3a") for key, value in conf.get(name, {}).items()}
            options["config_kwargs"] = {**_S3, **own.get("config_kwargs", {})}
        made = kind(**options)
    except (ImportError, ValueError) as error:
        raise missing_package(url) from error
    if scheme in _S3_SCHEMES:
        made.retries = 1  # whoever calls tries again, with longer waits
    return made


_S3 = {
    "connect_timeout": _CONNECT_SECONDS,
    "read_timeout": _READ_SECONDS,
    "retries": {"total_max_attempts": 2, "mode": "standard"},
}
"""One request is tried at most twice: uploads wait and are tried again by the one that asks for them."""
