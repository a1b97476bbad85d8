"""Included files and the chosen profile: what is found, what is refused, who owns what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbflow.config.files import Files, open_files
from support.folders import Folder, brief

MAIN = """\
[nbflow]
include = ["teams/*/pipelines.toml"]
[pools]
w = 1
[pipelines.a.tasks]
x = { notebook = "x.ipynb" }
"""
TEAM = '[pipelines.b.tasks]\nx = { notebook = "x.ipynb" }\n'


def opened(folder: Folder, text: str, profile: str | None = None) -> tuple[Files, list[str]]:
    folder.write("pipelines.toml", text)
    files, problems = open_files(folder.file, profile)
    assert files is not None
    return files, [f"{problem.file}:{line}" for problem, line in zip(problems, brief(problems), strict=True)]


def test_included_files_come_in_the_order_of_their_names(folder: Folder) -> None:
    for name in ("z", "m", "a"):
        folder.write(f"teams/{name}/pipelines.toml", TEAM.replace("b.tasks", f"{name}2.tasks"))
    files, problems = opened(folder, MAIN)
    assert [one.base.file for one in files.included] == [f"teams/{name}/pipelines.toml" for name in "amz"]
    assert not problems
    assert files.document(("pipelines", "m2", "tasks", "x")).base.file == "teams/m/pipelines.toml"
    assert files.document(("pipelines", "a")) is files.main
    assert files.document(("nbflow",)) is files.main


def test_a_pattern_that_matches_nothing_is_a_problem(folder: Folder) -> None:
    assert opened(folder, MAIN)[1] == ["pipelines.toml:2:12 nbflow.include.0: no file matches this pattern"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("../other/*.toml", "an included file lies inside the project"),
        ("/etc/*.toml", "an included file lies inside the project"),
        ("a/../../b.toml", "an included file lies inside the project"),
        ("~/x.toml", "an included file lies inside the project"),
        ("", "expected a glob pattern"),
        (".", "this is no pattern of file names"),
        ("**x", "this is no pattern of file names"),
        ("x\\u0000y", "this is no pattern of file names"),
        ("teams", "no file matches this pattern"),
    ],
)
def test_patterns_that_are_refused(folder: Folder, pattern: str, message: str) -> None:
    folder.write("teams/a/pipelines.toml", TEAM)
    loaded = folder.load(MAIN.replace("teams/*/pipelines.toml", pattern))
    assert loaded.spec is None
    assert len(loaded.problems) == 1
    assert loaded.problems[0].message.startswith(message)
    assert (loaded.problems[0].line, loaded.problems[0].col) == (2, 12)


def test_a_link_that_leaves_the_project_is_refused(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "pipelines.toml").write_text(TEAM)
    (folder.root / "teams").mkdir()
    (folder.root / "teams" / "evil").symlink_to(outside)
    assert opened(folder, MAIN)[1] == [
        "pipelines.toml:2:12 nbflow.include.0: teams/evil/pipelines.toml is a link that leaves the project"
    ]


def test_a_file_is_included_once_and_never_itself(folder: Folder) -> None:
    folder.write("teams/a/pipelines.toml", TEAM)
    files, problems = opened(folder, MAIN.replace('["teams', '["**/pipelines.toml", "teams'))
    assert [one.base.file for one in files.included] == ["teams/a/pipelines.toml"]
    assert not problems


def test_a_broken_included_file_has_its_own_places_and_the_others_are_read(folder: Folder) -> None:
    folder.write("teams/a/pipelines.toml", "x = \n")
    folder.write("teams/b/pipelines.toml", TEAM)
    files, problems = opened(folder, MAIN)
    assert [one.base.file for one in files.included] == ["teams/b/pipelines.toml"]
    assert problems[0].startswith("teams/a/pipelines.toml:1:5 : not valid TOML: Invalid value")


def test_what_is_declared_twice_names_both_places(folder: Folder) -> None:
    folder.write("teams/a/pipelines.toml", TEAM + "[pools]\nW = 2\n")
    folder.write("teams/b/pipelines.toml", "\n" + TEAM)
    folder.write("teams/c/pipelines.toml", TEAM.replace("b.tasks", "A.tasks"))
    files, problems = opened(folder, MAIN)
    assert problems == [
        "teams/b/pipelines.toml:2:12 pipelines.b: the pipeline is declared twice, also in teams/a/pipelines.toml:1",
        "teams/c/pipelines.toml:1:12 pipelines.A: differs by case alone from a in pipelines.toml:5",
        "teams/a/pipelines.toml:4:1 pools.W: differs by case alone from w in pipelines.toml:4",
    ]
    assert files.document(("pipelines", "b")).base.file == "teams/a/pipelines.toml"


def test_a_profile_reaches_into_included_pipelines(folder: Folder) -> None:
    folder.write("teams/a/pipelines.toml", TEAM)
    text = MAIN + "[profiles.prod.pipelines]\nb.max_parallel = 3\na.max_parallel = 2\n"
    files, _ = opened(folder, text, "prod")
    assert files.included[0].data["pipelines"]["b"]["max_parallel"] == 3
    assert files.main.data["pipelines"]["a"]["max_parallel"] == 2
    assert list(files.main.data["pipelines"]) == ["a"]
    spot = files.document(("pipelines", "b")).spot(("pipelines", "b", "max_parallel"))
    assert (spot.source.file, spot.is_profile) == ("pipelines.toml", True)


def test_an_unknown_profile_names_those_there(folder: Folder) -> None:
    text = MAIN.replace("[nbflow]\ninclude", "[nbflow]\n#") + "[profiles.prod]\n[profiles.dev]\n"
    assert opened(folder, text, "prd")[1] == [
        "pipelines.toml:7:2 profiles: there is no profile 'prd' (did you mean \"prod\"?)"
    ]
    assert opened(folder, "x = 1", "prd")[1] == [
        "pipelines.toml:None:None profiles: there is no profile 'prd' (there are no profiles in this file)"
    ]


def test_a_main_file_that_cannot_be_parsed_is_all_there_is_to_say(tmp_path: Path) -> None:
    files, problems = open_files(tmp_path / "none.toml", None)
    assert files is None
    assert [problem.message for problem in problems] == ["cannot be read: No such file or directory"]


def test_an_unreadable_included_file(folder: Folder) -> None:
    path = folder.write("teams/a/pipelines.toml", TEAM)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert opened(folder, MAIN)[1] == ["teams/a/pipelines.toml:None:None : cannot be read: Permission denied"]
