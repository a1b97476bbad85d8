"""The values of secrets: looked up just before the kernel starts, for one attempt, and kept nowhere.

They go into the kernel's environment and into the masker. Must not know kernels, journals or archives; no message here
shows a value, or what a program has said that may be one.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from nbflow.core.masking import SHORTEST, Masker
from nbflow.core.secrets import BadReference, Reference, Scheme, parse_reference
from nbflow.core.spec import EMPTY
from nbflow.kernels.exits import last_words
from nbflow.worker.control import Control

LONGEST = 65_536
"""Bytes of a value: an environment variable cannot be much longer."""
PATIENCE = 30.0
"""Seconds that a command, or a keyring, gets to tell its value."""
_SHOWN = 500
_KEPT = 2 * LONGEST
"""Bytes of a program's output that are kept: with so many it is refused whatever came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values that were found, by variable, and what people should know of them.

    `refused` says which secrets have no value here, and why.
    """

    secrets: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    warnings: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Where references are looked up: relative paths and commands in `root`; `control` can end a command."""

    root: str
    environment: Mapping[str, str]
    control: Control


def resolve(references: Mapping[str, str], around: Around) -> Values:
    """The values of all secrets of an attempt, as far as they have any here."""
    found: dict[str, str] = {}
    refused: list[str] = []
    for name, text in references.items():
        try:
            found[name] = _checked(_read(parse_reference(text), around, Masker(found)))
        except BadReference as error:
            refused.append(f"the secret {name} has no value: {error.message}")
        except _NoValue as error:
            refused.append(f"the secret {name} has no value: {text}: {error}")
    plain = f"is not masked where it is shown: it has fewer than {SHORTEST} characters, or is a word of nbflow's own"
    warnings = tuple(f"the secret {name} {plain}" for name in Masker(found).unmasked)
    return Values(secrets=found, warnings=warnings, refused="\n".join(refused) or None)


def is_at_hand(text: str) -> bool:
    """Whether the value of a reference is had without starting a program."""
    try:
        return parse_reference(text).scheme in {Scheme.ENV, Scheme.FILE}
    except BadReference:
        return False


class _NoValue(Exception):
    """Why a reference leads to no value."""


def _read(reference: Reference, around: Around, masker: Masker) -> bytes | str:
    match reference.scheme:
        case Scheme.ENV:
            if reference.target not in around.environment:
                raise _NoValue("there is no such environment variable; set it where runs are started")
            return around.environment[reference.target]
        case Scheme.FILE:
            return _without_newline(_file(Path(around.root, reference.target)))
        case Scheme.CMD:
            return _without_newline(_output(reference.words, around, masker))
        case Scheme.KEYRING:
            if find_spec("keyring") is None:
                raise _NoValue("keyrings need the package keyring: pip install 'jupyter-nbflow[secrets]'")
            # In a process of its own: an entry may be locked, and whoever asks for its password waits for ever.
            command = [sys.executable, "-P", "-m", "keyring", "get", "--", *reference.entry]
            try:
                return _without_newline(_output(command, around, masker))
            except _NoValue as error:
                raise _NoValue(f"the keyring has no such entry, or cannot be read ({error})") from None


def _file(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise _NoValue("this is not a file")
        with path.open("rb") as file:
            return file.read(LONGEST + 3)
    except OSError as error:
        raise _NoValue(f"it cannot be read: {(error.strerror or str(error)).lower()}") from None


def _output(command: list[str], around: Around, masker: Masker) -> bytes:
    """What a program writes to its stdout. It has no shell, no input and PATIENCE seconds."""
    try:
        process = subprocess.Popen(
            command,
            cwd=around.root,
            env=dict(around.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _NoValue(f"the program cannot be started: {reason.lower()}") from None
    # An attempt that is to end does not wait for a program.
    around.control.listen(lambda _: _kill(process))
    try:
        deadline = time.monotonic() + PATIENCE
        value, said = _told(process, deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, TimeoutError):
        raise _NoValue(f"the program did not end within {PATIENCE:g} s") from None
    finally:
        around.control.listen(None)
        _kill(process)
        with process:  # closes the pipes and waits for it
            pass
    if code != 0:
        words = _words(said, value, masker)
        raise _NoValue(f"the program ended with code {code}" + (f", saying: {words}" if words else ""))
    return value


def _told(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """What a program writes to its stdout, as far as a value can be long, and the end of its stderr."""
    told = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as selector:
        for stream in told:
            selector.register(stream, selectors.EVENT_READ)  # type: ignore[arg-type]
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                part = os.read(key.fd, LONGEST)
                stream = process.stdout if key.fileobj is process.stdout else process.stderr
                told[stream] = (told[stream] + part)[-_KEPT:]
                if not part:
                    selector.unregister(stream)  # type: ignore[arg-type]
    return told[process.stdout], told[process.stderr]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and whatever it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _words(said: bytes, value: bytes, masker: Masker) -> str:
    """The end of what a program that failed has said on its stderr, without what it has said on its stdout."""
    told = Masker({"value": value.decode("utf-8", "replace").strip()})
    return last_words(masker.text(told.text(said.decode("utf-8", "replace"))).encode())[-_SHOWN:]


def _without_newline(value: bytes) -> bytes:
    return value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\n") else value


def _checked(value: bytes | str) -> str:
    """The value as text, if an environment variable can hold it."""
    try:
        data = os.fsencode(value) if isinstance(value, str) else value
        text = data.decode("utf-8")
    except UnicodeError:
        raise _NoValue("it is not a text in UTF-8; have it in base64 and decode it in the notebook") from None
    if not text:
        raise _NoValue("it is empty")
    if "\0" in text:
        raise _NoValue("it holds a NUL character, which no environment variable can")
    if len(data) > LONGEST:
        raise _NoValue(f"it has more than {LONGEST:,} bytes; write it to a file and pass its path")
    return text
