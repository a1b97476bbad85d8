"""The private folder of one kernel: its connection file, its sockets, its empty IPython folder.

Only its owner can enter it (0700), its path is short enough for a socket, and it is gone when the kernel is.
Must not know what runs in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from nbflow.errors import UnreachableError

LONGEST_SOCKET = 103
"""Bytes of a socket's path: `sun_path` holds 104 on macOS, 108 on Linux, the final NUL included."""

_PREFIX = "nbflow-"
_RANDOM = 8  # letters that mkdtemp adds
_SOCKET = "k"
_NAME = re.compile(f"{_PREFIX}[a-z0-9_]{{{_RANDOM}}}")
_OWN = re.compile(r"ipython|k\.json|k-\d|z|loaded|status|shell")
"""What lies in such a folder: IPython's, the connection file, the sockets, notes of kernels that end without a word."""
_YOUNG, _STARTING = 10.0, 600.0
"""Seconds in which a folder may still be in the making: one whose sockets do not answer, and one without any."""


class RuntimeFolder:
    """A fresh private folder. Use `create`, and `remove` at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection_file = path / f"{_SOCKET}.json"
        self.socket_prefix = path / _SOCKET
        self.ipython = path / "ipython"

    @classmethod
    def create(cls) -> RuntimeFolder:
        """Make the folder in the user's runtime folder, else among temporary files. Raises UnreachableError."""
        faults = []
        for base in _bases():
            if len(os.fsencode(base)) + 1 + len(_PREFIX) + _RANDOM + len(f"/{_SOCKET}-5") > LONGEST_SOCKET:
                faults.append(f"{base}: the path is too long for a socket")
                continue
            try:
                return cls._made(base)
            except OSError as error:
                faults.append(f"{base}: {error.strerror}")
        raise UnreachableError(
            f"no folder for the kernel's sockets: {'; '.join(faults)}",
            hint="set TMPDIR to a short path on a local disk",
        )

    @classmethod
    def _made(cls, base: Path) -> RuntimeFolder:
        """A folder in a place; nothing is left of one that cannot be made wholly. Raises OSError."""
        folder = cls(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base)))
        try:
            folder.ipython.mkdir(mode=0o700)
        except OSError:
            folder.remove()
            raise
        return folder

    def remove(self) -> None:
        """Take the folder away, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_left_over(path: str) -> None:
    """Remove the folder of a kernel whose worker was killed; anything that is not such a folder of ours is left."""
    if _is_runtime_folder(Path(path)):
        RuntimeFolder(Path(path)).remove()


def sweep() -> list[str]:
    """Remove folders that nobody uses any more: whoever would have done so was killed. Their paths.

    A folder is in use as long as one of its sockets answers; the kernel of a young one may still be starting.
    """
    swept = []
    for base in _bases():
        for place in base.glob(f"{_PREFIX}*"):
            try:
                if _is_runtime_folder(place) and _is_abandoned(place):
                    RuntimeFolder(place).remove()
                    swept.append(str(place))
            except OSError:
                continue  # somebody else has just removed it
    return swept


def _is_runtime_folder(place: Path) -> bool:
    """Whether it is a folder that we have made, and holds nothing else than what we put there.

    Somebody's project may well be called `nbflow-something`, and lie among temporary files.
    """
    try:
        found = place.lstat()
        names = {one.name for one in place.iterdir()} if stat.S_ISDIR(found.st_mode) else set()
    except OSError:
        return False
    return bool(_NAME.fullmatch(place.name)) and _is_private(found) and all(map(_OWN.fullmatch, names))


def _is_abandoned(folder: Path) -> bool:
    """Whether it has been for some time, and none of its sockets answers."""
    sockets = [place for place in folder.iterdir() if stat.S_ISSOCK(place.lstat().st_mode)]
    age = time.time() - folder.stat().st_mtime
    return age > (_YOUNG if sockets else _STARTING) and not any(_answers(place) for place in sockets)


def _answers(place: Path) -> bool:
    """Whether a process listens. Asked of the system first, which does not trouble the one who listens."""
    with contextlib.suppress(OSError):
        if f" {place}\n" in Path("/proc/net/unix").read_text("utf-8", "replace"):
            return True
    with socket.socket(socket.AF_UNIX) as asker:
        asker.setblocking(False)
        try:
            asker.connect(str(place))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # busy, or not to be told: then it is left alone
    return True


def _bases() -> list[Path]:
    """Where the folder may lie, best first. The user's runtime folder must really be only the user's."""
    bases = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):  # noqa: PTH117 - an empty or relative value must not become a path
        try:
            found = os.lstat(runtime)
        except OSError:
            found = None
        if found is not None and _is_private(found):
            bases.append(Path(runtime))
    # As `tempfile` looks for it; but that writes a file to try each out, which stays for ever where we are killed then.
    named = [os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)]
    return list(dict.fromkeys([*bases, *(Path(one).absolute() for one in named), Path("/tmp")]))  # noqa: S108 - mkdtemp makes it safe


def _is_private(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
