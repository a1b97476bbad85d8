"""Disks that are small, in a name space of their own; and what a test does on a machine that does not let it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

MOUNT = 'mount -t tmpfs -o "size=$1,mode=700" tmpfs "$0" && echo ready && exec sleep 1000000'


@dataclass(frozen=True)
class Disk:
    """A disk that only commands with the prefix `wrap` see; they work in the folder that it lies in."""

    place: Path
    wrap: Sequence[str]

    def do(self, *command: str) -> str:
        """What a command prints that is carried out where the disk is."""
        done = subprocess.run([*self.wrap, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fill(self, name: str, *, leave: int) -> None:
        """Put a file on the disk that leaves so many bytes of it."""
        free = int(self.do("stat", "-f", "-c", "%f", str(self.place))) * 4096
        self.do("fallocate", "-l", str(free - leave), str(self.place / name))

    def remove(self, name: str) -> None:
        """Make room."""
        self.do("rm", str(self.place / name))


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Disk]:
    """A disk of some size at a folder, gone at the end. Where none can be, the test is left out."""
    for program in ("unshare", "nsenter", "fallocate"):
        if shutil.which(program) is None:
            cannot(f"{program} is not there")
    place.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", MOUNT, str(place), size],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stderr is not None
            if holder.stdout.readline() != "ready\n":
                cannot(f"a small disk cannot be mounted: {holder.stderr.read().strip()}")
            enter = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
            yield Disk(place, (*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(place.parent)))
        finally:
            holder.kill()


def need_strace() -> None:
    """For a test in which strace has system calls fail."""
    if shutil.which("strace") is None:
        cannot("strace is not there")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        cannot(f"strace may not trace: {tried.stderr.strip()}")


def cannot(reason: str) -> NoReturn:
    """What this machine does not allow is left out, and said; where a change is judged, it has to be possible."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
