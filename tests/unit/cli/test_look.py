"""list, graph and plan."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from support.commands import Shell


def test_list_says_what_there_is_and_how_it_went(shell: Shell) -> None:
    run = shell.run()
    assert shell("list").out.splitlines() == [
        "PIPELINE  TASKS  LAST RUN     TAGS   DESCRIPTION",
        "sales         3  ✓ succeeded  daily  Daily sales",
        "other         1  never",
    ]
    first, second = shell("list", "--json").json["pipelines"]
    assert (first["pipeline"], first["tasks"], first["params"]) == (
        "sales",
        ["extract", "clean", "train"],
        ["region", "limit"],
    )
    assert first["last_run"]["run"] == run
    assert second["last_run"] is None


def test_list_makes_no_store(shell: Shell) -> None:
    assert shell("list").code == 0
    assert not (shell.folder.root / "outputs").exists()


def test_list_of_no_pipelines(shell: Shell) -> None:
    shell.folder.file.write_text("")
    said = shell("list")
    assert said.code in (0, 2)
    assert said.out + said.err


def test_graph_as_text(shell: Shell) -> None:
    said = shell("graph")
    assert said.code == 0
    assert said.out.startswith("sales  (3 tasks)\nextract\n└── clean\n    └── train\n")
    assert "\nother  (1 task)\nonly\n" in said.out


@pytest.mark.parametrize("arguments", [["--json"], ["-f", "json"]])
def test_graph_as_json(arguments: list[str], shell: Shell) -> None:
    document = shell("graph", "sales", *arguments).json
    assert [task["upstream"] for task in document["tasks"]] == [[], ["extract"], ["clean"]]
    assert [one["pipeline"] for one in shell("graph", *arguments).json["pipelines"]] == ["sales", "other"]


def test_graph_as_svg_into_a_file(shell: Shell) -> None:
    said = shell("graph", "sales", "-f", "svg", "-o", "a {b} 100%.svg")
    assert (said.code, said.out, said.err) == (0, "", "wrote a {b} 100%.svg\n")
    root = ET.parse(shell.folder.root / "a {b} 100%.svg").getroot()  # noqa: S314 - we wrote it
    assert root.tag.endswith("svg")
    assert "clean" in "".join(root.itertext())


@pytest.mark.parametrize(("shape", "begin"), [("dot", 'digraph "sales" {'), ("mermaid", "flowchart LR")])
def test_graph_in_other_languages(shape: str, begin: str, shell: Shell) -> None:
    assert shell("graph", "sales", "-f", shape).out.startswith(begin)


def test_a_picture_holds_one_pipeline(shell: Shell) -> None:
    said = shell("graph", "-f", "svg")
    assert said.code == 2
    assert "name one of: sales, other" in said.err


def test_a_cycle_is_told_with_its_place(shell: Shell) -> None:
    text = shell.folder.file.read_text().replace(
        'extract = { notebook = "extract.ipynb",', 'extract = { notebook = "extract.ipynb", needs = ["clean"],'
    )
    shell.folder.file.write_text(text)
    said = shell("graph", "sales")
    assert said.code == 2
    assert "pipelines.toml:" in said.err
    assert "extract" in said.err


@pytest.mark.parametrize("command", ["graph", "plan", "run"])
def test_an_unknown_pipeline_names_the_nearest(command: str, shell: Shell) -> None:
    said = shell(command, "slaes")
    assert said.code == 3
    assert said.err.endswith("hint: did you mean 'sales'?\n")


def test_plan_says_what_and_why(shell: Shell) -> None:
    document = shell("plan", "sales", "--json").json
    assert document["tasks"] == [
        {"task": "extract", "action": "run", "reason": "no upstream", "upstream": []},
        {"task": "clean", "action": "run", "reason": "after extract", "upstream": ["extract"]},
        {"task": "train[ridge]", "action": "run", "reason": "after clean", "upstream": ["clean"]},
        {"task": "train[gbm]", "action": "run", "reason": "after clean", "upstream": ["clean"]},
    ]
    assert shell.executor.calls == []


def test_a_dry_run_is_a_plan(shell: Shell) -> None:
    arguments = ["sales", "-s", "+clean", "-p", "limit=3", "--json"]
    assert shell("run", *arguments, "-n").json == shell("plan", *arguments).json
    assert not (shell.folder.root / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["-p", "limit=0"], 2, "limit"),
        (["-p", "limit=many"], 2, "limit"),
        (["-p", "lmit=3"], 2, "lmit"),
        (["-s", "nothing"], 3, "nothing"),
        (["-s", "tag:none"], 2, "no task"),
        (["--date", "soon"], 2, "--date 'soon'"),
    ],
)
def test_what_cannot_run_is_refused_by_plan_and_run_alike(
    arguments: list[str], code: int, text: str, shell: Shell
) -> None:
    for command in ("plan", "run"):
        said = shell(command, "sales", *arguments)
        assert said.code == code
        assert text in said.err
    assert shell("runs", "--json").json["runs"] == []
