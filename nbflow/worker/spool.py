"""Files beside an attempt's journal for what is too long for its notebook: whole texts, whole values of displays.

They lie in a private folder until they are published. A text is packed while it comes, in memory that does not grow;
what a crash leaves of it can be unpacked up to the last piece that was written. Must not know kernels or archives.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import os
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.durable import make_unsynced
from nbflow.worker.journal import JournalError

_LEVEL = 1
_GZIP = 31
"""What zlib takes as `wbits` for the format of gzip; its header has no time in it."""
_WRITE_EVERY = 65_536
_SYNC_EVERY = 1_048_576
"""Bytes after which what was packed so far is written so that it can be unpacked."""
_READ = 65_536

_BINARY = {
    "application/pdf": "pdf",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
}
_TEXTS = {
    "application/javascript": "js",
    "application/json": "json",
    "image/svg+xml": "svg",
    "text/csv": "csv",
    "text/html": "html",
    "text/latex": "tex",
    "text/markdown": "md",
    "text/plain": "txt",
}


class Spools:
    """The files of one attempt. `numbers` count its code cells from 1, by their index; `slug` begins published names.

    All methods raise JournalError where a file cannot be written: it is a part of the journal.
    """

    def __init__(self, journal: Path, slug: str, numbers: Mapping[int, int]) -> None:
        self.folder = spool_folder(journal)
        self._slug = slug
        self._numbers = numbers
        self._values: dict[int, int] = {}

    def published(self, name: str) -> str:
        """The name that a file has beside the notebook."""
        return f"{self._slug}.{name}"

    def text(self, index: int, stream: str) -> TextSpool:
        """A new file for the whole text of a stream of a cell, in place of one that was there."""
        name = f"cell-{self._numbers[index]}.{re.sub(r'[^A-Za-z0-9_]', '_', stream)[:20]}.txt.gz"
        self.drop([name])
        self._make_folder()
        return TextSpool(self.folder / name)

    def surplus(self, index: int) -> TextSpool:
        """A new file for the outputs of a cell that its notebook does not keep, in place of one that was there."""
        name = f"cell-{self._numbers[index]}.output-more.jsonl.gz"
        self.drop([name])
        self._make_folder()
        return TextSpool(self.folder / name)

    def value(self, index: int, mime: str, value: object) -> str:
        """Write a value of a display of a cell; the name of its file. What is not text is unpacked from base64."""
        self._values[index] = self._values.get(index, 0) + 1
        ending, data = _encoded(mime, value)
        name = f"cell-{self._numbers[index]}.output-{self._values[index]}.{ending}"
        self._make_folder()
        file = _File(self.folder / name)
        try:
            file.write(data)
        finally:
            file.close()
        return name

    def drop(self, names: Iterable[str]) -> None:
        """Remove files that nothing refers to any more."""
        for name in names:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise _failed(self.folder / name, error) from error

    def _make_folder(self) -> None:
        _make(self.folder)


class TextSpool:
    """The whole text of a stream, packed. Closed by `pause`, it goes on when something more is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: _File | None = None
        self._is_begun = False
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._packed: list[bytes] = []
        self._size = 0
        self._unsynced = 0

    @property
    def is_open(self) -> bool:
        """True from the first text on, until a pause."""
        return self._file is not None

    def write(self, text: str) -> None:
        """Add a text."""
        if self._file is None:
            self._file = _File(self.path, create=not self._is_begun)  # without its beginning it is not the whole text
            self._is_begun = True
            self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        # A lone surrogate has no UTF-8 form; the notebook has it as an escape too.
        data = text.encode("utf-8", "backslashreplace")
        self._add(self._packer.compress(data))
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_EVERY:
            self.sync()
        elif self._size >= _WRITE_EVERY:
            self._flush()

    def sync(self) -> None:
        """Hand all that was written to the operating system."""
        if self._file is not None and self._unsynced:
            self._unsynced = 0
            self._add(self._packer.flush(zlib.Z_SYNC_FLUSH))
            self._flush()

    def pause(self) -> None:
        """Make the file whole and bring it to the disk."""
        if self._file is not None:
            self._unsynced = 0
            self._add(self._packer.flush(zlib.Z_FINISH))
            self._flush()
            file, self._file = self._file, None
            file.close()

    def drop(self) -> None:
        """Forget the text, and remove its file."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
        self._packed.clear()
        self._size = self._unsynced = 0
        self._is_begun = False
        self.path.unlink(missing_ok=True)

    def _add(self, data: bytes) -> None:
        if data:
            self._packed.append(data)
            self._size += len(data)

    def _flush(self) -> None:
        if self._file is not None and self._packed:
            self._file.write(b"".join(self._packed))
            self._packed.clear()
            self._size = 0


class _File:
    """A private file that is written at its end. What fails to be written is told as the journal tells it."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path = path
        try:
            flags = os.O_WRONLY | (os.O_CREAT if create else 0) | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise _failed(path, error) from error

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise _failed(self._path, error) from error

    def close(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _failed(self._path, error) from error
        finally:
            os.close(self._descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What could be read of a packed text: how many characters and whole lines, and the last characters."""

    characters: int
    lines: int
    tail: str


def mend(path: Path, tail: int) -> Mended:
    """Make a packed text whole again that a crash has cut off. `tail`: how many characters of its end are wanted.

    Raises JournalError where it cannot be read or written; one that is not there is made, empty.
    """
    _make(path.parent)  # a loss of power may have taken it
    characters, lines, kept, last = 0, 0, 0, deque[str]()
    mended = TextSpool(path.with_name(f"{path.name}.mended"))
    mended.path.unlink(missing_ok=True)
    mended.write("")
    for text in unpacked(path):
        mended.write(text)
        characters += len(text)
        lines += text.count("\n")
        last.append(text[-tail:] if tail else "")
        kept += len(last[-1])
        while kept - len(last[0]) >= tail and len(last) > 1:
            kept -= len(last.popleft())
    mended.pause()
    try:
        mended.path.replace(path)
    except OSError as error:
        raise _failed(path, error) from error
    return Mended(characters=characters, lines=lines, tail="".join(last)[-tail:] if tail else "")


def spool_folder(journal: Path) -> Path:
    """The folder of an attempt's files, beside its journal."""
    return journal.with_suffix(".spool")


def drop_spools(journal: Path) -> None:
    """Remove the files of an attempt. Only once they are published, or nobody will want them."""
    import shutil

    shutil.rmtree(spool_folder(journal), ignore_errors=True)


def unpacked(path: Path) -> Iterator[str]:
    """The text of a packed file up to where it is cut off or damaged, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        with path.open("rb") as file:
            unpacker = zlib.decompressobj(_GZIP)
            data = file.read(_READ)
            while data:
                yield decoder.decode(unpacker.decompress(data, _SYNC_EVERY))
                data = unpacker.unconsumed_tail or unpacker.unused_data or file.read(_READ)
                if unpacker.eof:
                    unpacker = zlib.decompressobj(_GZIP)
    except FileNotFoundError:
        return
    except zlib.error:
        return
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error


def _encoded(mime: str, value: object) -> tuple[str, bytes]:
    """The ending of a value's file, and its bytes."""
    if mime in _BINARY and isinstance(value, str):
        try:
            return _BINARY[mime], base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            pass  # not what its type says: kept as the text that it is
    if isinstance(value, str):
        return f"{_TEXTS.get(mime, 'txt')}.gz", _packed(value)
    return "json.gz", _packed(json.dumps(value, ensure_ascii=False))


def _packed(text: str) -> bytes:
    packer: Any = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return b"".join((packer.compress(text.encode("utf-8", "backslashreplace")), packer.flush()))


def _make(folder: Path) -> None:
    try:
        make_unsynced(folder.parent, 0o700)  # somebody may have removed it, with the journal
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _failed(folder, error) from error


def _failed(path: Path, error: OSError) -> JournalError:
    return JournalError(f"cannot write {path}: {error.strerror}")
