"""Secrets in `pipelines.toml`: what is refused, what is only a warning, and that no value is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbflow.config import secrets
from nbflow.core.faults import Fault
from support.folders import Folder, brief

PLAIN = "hunter2-in-plain-text"


def project(folder: Folder, own: str, pipeline: str = "", defaults: str = "") -> str:
    folder.notebook("a.ipynb")
    return (
        (f"[defaults]\nsecrets = {defaults}\n" if defaults else "\n\n")
        + (f"[pipelines.p]\nsecrets = {pipeline}\n" if pipeline else "\n\n")
        + f'[pipelines.p.tasks]\na = {{ notebook = "a.ipynb", secrets = {own} }}\n'
    )


def said(folder: Folder, own: str, pipeline: str = "", defaults: str = "") -> list[str]:
    return brief(folder.check(project(folder, own, pipeline, defaults)).problems)


def test_references_are_merged_by_name_from_the_outermost_to_the_task(folder: Folder) -> None:
    layers = ('{ A = "cmd:true task" }', '{ A = "cmd:true", B = "cmd:true p" }', '{ B = "cmd:true", C = "cmd:true d" }')
    spec = folder.check(project(folder, *layers)).spec
    assert spec is not None
    assert spec.pipelines["p"].tasks["a"].secrets == {"A": "cmd:true task", "B": "cmd:true p", "C": "cmd:true d"}
    lines = {name: spec.origins[f"pipelines.p.tasks.a.secrets.{name}"] for name in "ABC"}
    assert [(one.layer, one.line) for one in lines.values()] == [("task", 6), ("pipeline", 4), ("defaults", 2)]
    assert {key for key in spec.origins if ".secrets" in key} == {
        f"pipelines.p.tasks.a.secrets.{name}" for name in "ABC"
    }


def test_a_profile_and_an_included_file_change_single_secrets(folder: Folder) -> None:
    text = project(folder, '{ A = "cmd:true task", B = "cmd:true" }', defaults='{ C = "cmd:true", D = "cmd:true" }')
    text += '[profiles.prod]\npipelines.p.tasks.a.secrets.A = "cmd:true prod"\n[nbflow]\ninclude = ["more.toml"]\n'
    folder.write(
        "more.toml", '[defaults]\nsecrets.C = "cmd:true more"\n[pipelines.q.tasks]\nb = { notebook = "a.ipynb" }\n'
    )
    checked = folder.check(text, "prod")
    assert checked.spec is not None, checked.problems
    found = checked.spec.pipelines
    assert found["p"].tasks["a"].secrets["A"] == "cmd:true prod"
    assert found["q"].tasks["b"].secrets == {"C": "cmd:true more", "D": "cmd:true"}


@pytest.mark.parametrize(
    "reference",
    [PLAIN, f"postgres://me:{PLAIN}@host", f"evn:{PLAIN}", f"env:{PLAIN}", f"cmd:'{PLAIN}", f"keyring:{PLAIN}"],
)
def test_what_is_no_reference_is_refused_and_not_shown(folder: Folder, reference: str) -> None:
    checked = folder.check(project(folder, f'{{ A = "{reference}" }}'))
    assert checked.spec is None
    (problem,) = checked.problems
    assert (problem.line, problem.col) == (6, 45)
    assert problem.key == "pipelines.p.tasks.a.secrets.A"
    assert "hunter2" not in str(problem)
    assert problem.hint


def test_only_texts_are_references(folder: Folder) -> None:
    found = folder.check(project(folder, "{ A = 123456 }")).problems
    assert [problem.message for problem in found] == ["a reference is a text"]
    assert "123456" not in str(found[0])


def test_names_that_are_refused(folder: Folder) -> None:
    found = said(folder, '{ PATH = "cmd:true", NBFLOW_X = "cmd:true", A-B = "cmd:true" }')
    assert [one.split(": ")[1] for one in found] == ["illegal name of a secret"] * 3


def test_what_is_not_here_is_a_warning_where_it_stands(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBT_ABSENT", raising=False)
    found = said(
        folder,
        '{ A = "env:NBT_ABSENT" }',
        '{ B = "file:absent.txt" }',
        '{ C = "cmd:nbt-no-such-program x", D = "cmd:true" }',
    )
    assert [one.removesuffix(f" ({secrets.ELSEWHERE})") for one in found] == [
        'warning 2:17 defaults.secrets.C: cmd:nbt-no-such-program x: there is no program "nbt-no-such-program" here',
        "warning 4:17 pipelines.p.secrets.B: file:absent.txt: cannot be read here: no such file or directory",
        "warning 6:45 pipelines.p.tasks.a.secrets.A: env:NBT_ABSENT: there is no such environment variable here",
    ]


def test_each_place_is_told_once_however_many_tasks_inherit_it(folder: Folder) -> None:
    text = project(folder, "{}", defaults='{ C = "file:absent" }') + 'b = { notebook = "a.ipynb" }\n'
    assert [problem.key for problem in folder.check(text).problems] == ["defaults.secrets.C"]


def test_variables_files_programs_and_keyrings_that_are_here(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBT_SECRET", PLAIN)
    folder.write("secret.txt", PLAIN).chmod(0o600)
    folder.write("bin/tell", "#!/bin/sh\n").chmod(0o700)
    monkeypatch.syspath_prepend(str(folder.write("site/keyring.py", "").parent))
    own = '{ A = "env:NBT_SECRET", B = "file:secret.txt", C = "cmd:bin/tell x", D = "keyring:a/b" }'
    assert said(folder, own) == []


def test_doubtful_ones(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBT_SHORT", "abc")
    monkeypatch.setenv("NBT_EMPTY", "")
    monkeypatch.setattr(secrets, "find_spec", lambda _: None)
    folder.write("open.txt", PLAIN).chmod(0o644)
    folder.write("folder/x", "")
    own = (
        '{ A = "env:NBT_SHORT", B = "env:NBT_EMPTY", C = "file:open.txt", D = "file:folder", E = "keyring:a/b", '
        'F = "cmd:./absent" }'
    )
    found = said(folder, own)
    expected = ("cannot be masked", "is empty here", "every user", "is not a file", "package keyring", "no program")
    assert len(found) == len(expected)
    for one, part in zip(found, expected, strict=True):
        assert part in one


def test_a_file_of_somebody_else_is_their_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text(PLAIN)
    path.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert secrets._file(path) is None


def test_expressions_never_see_a_variable_that_a_secret_names(folder: Folder) -> None:
    folder.notebook("b.ipynb", "x = ''")
    text = project(folder, '{ A = "env:HOME" }')
    text += "b = { notebook = \"b.ipynb\", params = { x = \"{{ env('HOME') }}\" }, when = \"env('HOME') != ''\" }\n"
    text += '[pipelines.p.params]\ny = { type = "str", default = "{{ env(\'HOME\') }}" }\n'
    found = [problem for problem in folder.check(text).problems if not problem.warning]
    assert [problem.key for problem in found] == [
        "pipelines.p.tasks.b.params.x",
        "pipelines.p.tasks.b.when",
        "pipelines.p.params.y.default",
    ]
    assert {problem.message for problem in found} == {"env('HOME') is a secret, which expressions never see"}


def test_a_wrong_reference_that_gets_here_was_told_before() -> None:
    faults: list[Fault] = list(secrets._faults("nothing", ("a",), Path("/"), {}))
    assert faults == []
