"""Values of secrets: each scheme, and each way in which there is no value; no message shows one."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from nbflow.worker import secrets
from nbflow.worker.control import Control, Stop, StopCause
from nbflow.worker.secrets import LONGEST, Around, Values, resolve

VALUE = "hunter2-é"


def values(folder: Path, control: Control | None = None, **references: str) -> Values:
    environment = {**os.environ, "NBT_SECRET": VALUE, "NBT_EMPTY": "", "NBT_SHORT": "abc"}
    return resolve(references, Around(root=str(folder), environment=environment, control=control or Control()))


def found(folder: Path, reference: str) -> str:
    got = values(folder, X=reference)
    assert got.refused is None
    return got.secrets["X"]


def why(folder: Path, reference: str) -> str:
    got = values(folder, X=reference)
    assert not got.secrets
    prefix = f"the secret X has no value: {reference}: "
    assert got.refused is not None
    assert got.refused.startswith(prefix)
    return got.refused.removeprefix(prefix)


def script(folder: Path, text: str) -> str:
    (folder / "tell.py").write_text(text, "utf-8")
    return f"cmd:{sys.executable} tell.py"


def test_a_variable(tmp_path: Path) -> None:
    assert found(tmp_path, "env:NBT_SECRET") == VALUE
    assert "no such environment variable" in why(tmp_path, "env:NBT_ABSENT")
    assert why(tmp_path, "env:NBT_EMPTY") == "it is empty"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (VALUE.encode(), VALUE),
        (VALUE.encode() + b"\n", VALUE),
        (VALUE.encode() + b"\r\n", VALUE),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" spaces \n", " spaces "),
        (b"x" * LONGEST + b"\n", "x" * LONGEST),
    ],
)
def test_a_file_without_its_last_newline(tmp_path: Path, data: bytes, value: str) -> None:
    (tmp_path / "a b").write_bytes(data)
    assert found(tmp_path, "file:a b") == value
    assert found(tmp_path, f"file:{tmp_path}/a b") == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"caf\xe9", "not a text in UTF-8"),
        (b"a\0b", "NUL"),
        (b"x" * (LONGEST + 1), "more than 65,536 bytes"),
    ],
)
def test_a_file_that_is_no_value(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(data)
    assert reason in why(tmp_path, "file:x")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert why(tmp_path, "file:absent") == "it cannot be read: no such file or directory"
    assert why(tmp_path, "file:.") == "this is not a file"
    os.mkfifo(tmp_path / "pipe")
    assert why(tmp_path, "file:pipe") == "this is not a file"


def test_a_command_in_the_folder_of_the_project_without_a_shell(tmp_path: Path) -> None:
    reference = script(
        tmp_path,
        "import os, sys\nprint(os.environ['NBT_SECRET'], os.getcwd() == os.path.dirname(os.path.realpath(__file__)),"
        " sys.argv[1:], repr(sys.stdin.read()))",
    )
    assert found(tmp_path, f"{reference} '$(id) x' | y") == f"{VALUE} True ['$(id) x', '|', 'y'] ''"


def test_a_command_that_fails_tells_why_and_no_value(tmp_path: Path) -> None:
    reference = script(
        tmp_path, "import sys\nprint('half-of-a-value')\nsys.exit('no: half-of-a-value of hunter2-é' + ' x' * 2000)"
    )
    got = values(tmp_path, A="env:NBT_SECRET", X=reference)
    assert got.secrets == {"A": VALUE}
    assert got.refused is not None
    assert "the program ended with code 1, saying: " in got.refused
    assert "half-of-a-value" not in got.refused
    assert VALUE not in got.refused
    assert len(got.refused) < 800
    assert "cannot be started: no such file" in why(tmp_path, "cmd:nbt-no-such-program")


def test_a_command_has_a_limit_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "PATIENCE", 0.5)
    reference = script(
        tmp_path,
        "import subprocess, sys\nchild = subprocess.Popen(['sleep', '100'])\n"
        "open('pid', 'w').write(str(child.pid))\nprint('hunter2', flush=True)\nchild.wait()",
    )
    assert why(tmp_path, reference) == "the program did not end within 0.5 s"
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the child of the command lives on"
        time.sleep(0.01)


def test_a_command_that_never_stops_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "PATIENCE", 1.0)
    assert "did not end" in why(tmp_path, "cmd:yes hunter2")
    assert "more than 65,536 bytes" in why(tmp_path, "cmd:seq 100000")


def test_an_attempt_that_is_to_end_does_not_wait_for_a_command(tmp_path: Path) -> None:
    reference = script(tmp_path, "import os, time\nos.mkfifo('started')\nopen('started', 'w').close()\ntime.sleep(100)")
    control, began = Control(), time.monotonic()

    def stop() -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        (tmp_path / "started").open().close()
        control.request(Stop(cause=StopCause.CANCELLED))

    thread = threading.Thread(target=stop)
    thread.start()
    got = values(tmp_path, control, X=reference)
    thread.join()
    assert got.refused is not None
    assert time.monotonic() - began < 20


def test_a_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site/keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys\nassert sys.argv[1:3] == ['get', '--']\n"
        "sys.exit(1) if sys.argv[4] == 'absent' else print('-'.join(sys.argv[3:]))"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    assert found(tmp_path, "keyring:https://a/b/me") == "https://a/b-me"
    assert why(tmp_path, "keyring:a/absent") == (
        "the keyring has no such entry, or cannot be read (the program ended with code 1)"
    )


def test_a_keyring_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "find_spec", lambda _: None)
    assert why(tmp_path, "keyring:a/b") == "keyrings need the package keyring: pip install 'jupyter-nbflow[secrets]'"


def test_all_that_have_no_value_are_told_and_the_others_found(tmp_path: Path) -> None:
    got = values(tmp_path, A="env:NBT_ABSENT", B="env:NBT_SECRET", C="file:absent", D="hunter2-in-plain")
    assert got.secrets == {"B": VALUE}
    assert got.refused is not None
    assert [line.split(" has ")[0] for line in got.refused.splitlines()] == [
        "the secret A",
        "the secret C",
        "the secret D",
    ]
    assert "hunter2" not in got.refused


def test_values_that_cannot_be_masked_are_told(tmp_path: Path) -> None:
    got = values(tmp_path, A="env:NBT_SHORT", B="env:NBT_SECRET")
    assert got.warnings == (
        "the secret A is not masked where it is shown: it has fewer than 4 characters, or is a word of nbflow's own",
    )


def test_values_are_not_in_a_repr(tmp_path: Path) -> None:
    assert VALUE not in repr(values(tmp_path, B="env:NBT_SECRET"))


def test_only_variables_and_files_are_at_hand() -> None:
    found = {text: secrets.is_at_hand(text) for text in ("env:A", "file:a", "cmd:pass a", "keyring:a/b", "nonsense")}
    assert found == {"env:A": True, "file:a": True, "cmd:pass a": False, "keyring:a/b": False, "nonsense": False}
