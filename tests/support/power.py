"""Disks whose power can be cut: an ext4 file system in a file, of which only what has reached the file is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.waiting import until

SIZE = 48 * 2**20
OPTIONS = "loop,commit=300,noauto_da_alloc"
"""Nothing is written before somebody asks for it: not every five seconds, nor as a rename replaces a file."""

_SHUT_DOWN = 0x8004587D
"""`EXT4_IOC_SHUTDOWN`: from now on nothing reaches the disk, ..."""
_AT_ONCE = struct.pack("I", 2)
"""... not even the file system's own journal (`EXT4_GOING_FLAGS_NOLOGFLUSH`)."""


@dataclass
class PoweredDisk:
    """A disk mounted at `place`. All who use it must have been ended before it is started again."""

    place: Path
    images: Path
    starts: int = 0

    def cut(self) -> None:
        """Cut the power: what was not synced is lost, and every later use of the disk is an error."""
        folder = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, _SHUT_DOWN, _AT_ONCE)
        finally:
            os.close(folder)

    def start(self) -> None:
        """Mount what the disk holds: a copy, made before the dead file system is put away and could change it."""
        before, now = self._image(self.starts), self._image(self.starts + 1)
        _do("cp", "--sparse=always", before, now)
        until(self._is_put_away)  # one that was killed may not have closed its files yet
        before.unlink()
        self.starts += 1
        self.mount()

    def mount(self) -> None:
        """Mount the newest image; what its journal holds is done first."""
        _do("mount", "-o", OPTIONS, self._image(self.starts), self.place)

    def make(self) -> None:
        """Make the first image."""
        with self._image(0).open("wb") as file:
            file.truncate(SIZE)
        _do("mkfs.ext4", "-q", "-F", self._image(0))

    def _is_put_away(self) -> bool:
        return subprocess.run(["umount", self.place], capture_output=True, check=False).returncode == 0

    def _image(self, number: int) -> Path:
        return self.images / f"disk-{number}.img"


@contextmanager
def powered_disk(folder: Path) -> Iterator[PoweredDisk]:
    """A disk of 48 MB below a folder, gone at the end. Where none can be made, the test is left out, on every machine:
    this takes root, a loop device and ext4, which a container need not have.
    """
    disk = PoweredDisk(folder / "disk", folder / "images")
    for made in (disk.place, disk.images):
        made.mkdir(parents=True)
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            pytest.skip(f"a power cut needs a disk of its own, and {program} is not there")
    try:
        disk.make()
        disk.mount()
    except OSError as error:
        pytest.skip(f"a power cut needs a disk of its own, with ext4 on a loop device, and the right to mount: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk.place], check=False)


def _do(*command: str | Path) -> None:
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
