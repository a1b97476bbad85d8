"""init, validate, schema and doctor."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow import doctor
from nbflow.doctor import Check, Finding
from support.commands import Shell
from support.folders import Folder


def test_init_begins_in_an_empty_folder(shell: Shell) -> None:
    said = shell("init", "new folder {x} 100%")
    assert said.code == 0
    folder = shell.folder.root / "new folder {x} 100%"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        ".nbflow.schema.json",
        "extract.ipynb",
        "pipelines.toml",
        "report.ipynb",
    ]
    assert "next  nbflow -C 'new folder {x} 100%' validate" in said.out
    assert shell("-C", str(folder), "validate").code == 0
    name = shell("-C", str(folder), "list", "--json").json["pipelines"][0]["pipeline"]
    assert f"run {name}" in said.out
    assert shell("-C", str(folder), "run", name).code == 0


def test_init_takes_the_notebooks_that_are_there(shell: Shell) -> None:
    folder = Folder(shell.folder.root / "mine")
    folder.notebook("01 load data.ipynb", "region = 'eu'")
    folder.notebook("02-report.ipynb")
    said = shell("init", "mine", "--json")
    assert said.code == 0
    assert sorted(Path(path).name for path in said.json["files"]) == [".nbflow.schema.json", "pipelines.toml"]
    assert shell("-C", "mine", "validate").code == 0


def test_init_overwrites_nothing(shell: Shell) -> None:
    before = shell.folder.file.read_text()
    said = shell("init")
    assert said.code == 4
    assert "pipelines.toml is there already" in said.err
    assert shell.folder.file.read_text() == before
    assert not (shell.folder.root / ".nbflow.schema.json").exists()


def test_validate_of_a_good_project(shell: Shell) -> None:
    said = shell("validate")
    assert (said.code, said.out) == (0, "✓ pipelines.toml is valid\n")
    assert shell("validate", "--json").json == {"ok": True, "problems": [], "warnings": []}


def test_validate_tells_all_faults_of_a_file_that_does_not_load(shell: Shell) -> None:
    shell.folder.file.write_text("[pipelines.a.tasks]\nx = { notebok = 'x.ipynb' }\n[pools]\np = 0\n")
    said = shell("validate")
    assert said.code == 2
    assert said.out.splitlines()[-1] == "error: 3 problems in pipelines.toml" or "problems in" in said.out
    document = shell("validate", "--json").json
    assert document["ok"] is False
    assert set(document["problems"][0]) == {"file", "line", "col", "key", "message", "hint"}
    assert {problem["line"] for problem in document["problems"]} == {2, 4}


@pytest.mark.parametrize("text", [b"a = ", b"\xff\xfe", b"[" * 5000, b"\0", None])
def test_validate_of_what_is_no_toml(text: bytes | None, shell: Shell) -> None:
    shell.folder.file.unlink()
    if text is not None:
        shell.folder.file.write_bytes(text)
    said = shell("validate", "--json")
    assert said.code == 2
    assert len(said.json["problems"]) == 1
    assert said.err == ""


def test_warnings_do_not_fail(shell: Shell) -> None:
    shell.folder.notebook("clean.ipynb", "region = 'eu'\nlimit = 1", "region = 'us'")
    said = shell("validate")
    assert said.code == 0
    assert said.out.startswith("warning: pipelines.toml:")
    assert said.out.splitlines()[-1].startswith("✓ pipelines.toml is valid, ")
    document = shell("validate", "--json").json
    assert document["ok"] is True
    assert document["problems"] == []
    assert document["warnings"]


def test_the_schema_is_json_and_the_same_in_a_file(shell: Shell) -> None:
    said = shell("schema")
    assert "$schema" in said.json
    assert shell("schema", "-o", "s.json").code == 0
    assert (shell.folder.root / "s.json").read_text() == said.out
    assert shell("schema", "--json").out == said.out


def checks(*found: Check) -> object:
    def examine(*_: object) -> Iterator[Check]:
        yield from found

    return examine


def test_doctor_exits_with_what_failed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Check(name="python", finding=Finding.OK, message="3.11", hint="unseen")
    bad = Check(name="disk", finding=Finding.FAIL, message="\x1b[2Jfull", hint="make room", exit_code=6)
    monkeypatch.setattr(doctor, "examine", checks(good, bad))
    said = shell("doctor")
    assert said.code == 6
    assert said.out.splitlines() == ["✓ python      3.11", r"✗ disk        \x1b[2Jfull", "  hint: make room"]
    document = shell("doctor", "--json").json
    assert document["ok"] is False
    assert document["checks"][1] == {"check": "disk", "state": "fail", "message": "\x1b[2Jfull", "hint": "make room"}


def test_a_warning_of_doctor_does_not_fail(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", checks(Check(name="git", finding=Finding.WARN, message="none", hint="x")))
    said = shell("doctor", "--json")
    assert (said.code, said.json["ok"]) == (0, True)


def test_the_written_file_names_its_schema(shell: Shell) -> None:
    shell("init", "new")
    text = (shell.folder.root / "new" / "pipelines.toml").read_text()
    assert text.startswith("#:schema ./.nbflow.schema.json\n")
    assert tomllib.loads(text)["pipelines"]
    assert json.loads((shell.folder.root / "new" / ".nbflow.schema.json").read_text())["$schema"]
