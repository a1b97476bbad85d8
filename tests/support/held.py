"""Object storage in the memory of this process, for tests that need no S3: it can be taken down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class HeldFileSystem(MemoryFileSystem):
    """What is below `held://`. While `down` is not None, every request fails with it; they wait for `answers`."""

    protocol = "held"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class that it is made from has it
    pseudo_dirs = [""]  # noqa: RUF012 - as above
    down: BaseException | None = None
    answers = Event()
    requests = 0
    one_at_a_time = Lock()

    def _ask(self) -> None:
        type(self).requests += 1
        self.answers.wait()
        if self.down is not None:
            raise self.down

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._ask()
        with self.one_at_a_time:
            super().pipe_file(path, value, mode=mode, **kwargs)

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes(), **kwargs)

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        self._ask()
        return super().open(path, mode, **kwargs)


fsspec.register_implementation("held", HeldFileSystem, clobber=True)
HeldFileSystem.answers.set()


@contextmanager
def silent() -> Iterator[None]:
    """Inside, requests are taken and not answered; afterwards they are."""
    HeldFileSystem.answers.clear()
    try:
        yield
    finally:
        HeldFileSystem.answers.set()


def held_url() -> str:
    """A place of its own, on storage that is up."""
    HeldFileSystem.down = None
    return f"held://{uuid4().hex}/prefix"


def held_files(url: str) -> dict[str, bytes]:
    """Path -> content of all that is below a URL, but for the marker."""
    found = {}
    for name, file in HeldFileSystem.store.items():
        _, there, path = name.partition(url.removeprefix("held://") + "/")
        if there and not path.startswith(".nbflow/"):
            found[path] = file.getvalue()
    return found
