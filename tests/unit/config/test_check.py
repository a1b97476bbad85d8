"""A whole project judged: file, notebooks, kernels; every fault with its place, nothing said twice."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path

import pytest

from nbflow.config import check as module
from nbflow.config.check import check, installed_kernels, judge, known_kernels, read
from support.folders import KERNELS, Folder, brief, document

COMPLETE = (Path(__file__).parent / "complete.toml").read_text("utf-8")
TWO = """\
[pipelines.p.params]
region = "eu"
[pipelines.p.tasks]
a = { notebook = "a.ipynb" }
b = { notebook = "b.ipynb", needs = ["a"], params = { limit = 3 } }
"""
NO_KERNEL = (
    '5:18 pipelines.p.tasks.b.notebook: the kernel "julia-1.11" is not installed; installed: ir, python3 '
    '(override it: kernel = "...")'
)
UNUSED = (
    "warning 2:1 pipelines.p.params.region: no notebook of the pipeline declares this parameter, "
    "and no expression reads it"
)


def said(folder: Folder, text: str, profile: str | None = None) -> list[str]:
    return brief(folder.check(text, profile).problems)


def test_a_project_without_faults(folder: Folder) -> None:
    folder.notebook("a.ipynb", "region = 'us'")
    path = folder.notebook("b.ipynb", "limit = 1")
    checked = folder.check(TWO)
    assert checked.ok
    assert not checked.problems
    assert checked.spec is not None
    assert checked.notebooks["b.ipynb"].sha256 == sha256(path.read_bytes()).hexdigest()
    assert list(checked.contracts["a.ipynb"].declared) == ["region"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('a = { notebook = "a.ipynb", params = { my-y = 2 } }', "pipelines.p.tasks.a.params.my-y"),
        ('a = { notebook = "a.ipynb", params = { class = 2 } }', "pipelines.p.tasks.a.params.class"),
        ('a = { notebook = "a.ipynb", matrix = { my-y = [2, 3] } }', "pipelines.p.tasks.a.matrix.my-y"),
        ('a = { notebook = "a.ipynb" }\n[pipelines.p.params]\nmy-y = 1', "pipelines.p.params.my-y"),
    ],
)
def test_an_illegal_name_of_a_parameter_is_one_problem(folder: Folder, text: str, key: str) -> None:
    folder.notebook("a.ipynb", "x = 1")
    found = folder.check(f"[pipelines.p.tasks]\n{text}\n").problems
    assert [(problem.key, problem.message.split(":")[0][:15]) for problem in found] == [(key, "illegal name of")]


def test_all_faults_at_once_each_at_its_place(folder: Folder) -> None:
    folder.notebook("a.ipynb", "region = 1")
    folder.notebook("b.ipynb", "limt = 1", kernel="julia-1.11")
    text = TWO.replace('needs = ["a"]', 'needs = ["aa"], pool = "w", retires = 2')
    assert said(folder, text) == [
        "2:10 pipelines.p.params.region: the type is str, and a.ipynb declares `region` as int",
        NO_KERNEL,
        '5:38 pipelines.p.tasks.b.needs.0: there is no task "aa" in this pipeline (did you mean "a"?)',
        '5:52 pipelines.p.tasks.b.pool: there is no pool "w" (there are no pools in [pools])',
        '5:57 pipelines.p.tasks.b.retires: unknown key (did you mean "retries"?)',
        '5:81 pipelines.p.tasks.b.params.limit: b.ipynb declares no parameter `limit` (did you mean "limt"?)',
    ]


def test_a_problem_is_shown_in_the_documented_form(folder: Folder) -> None:
    folder.notebook("a.ipynb", "region = 'us'")
    problem = folder.check(TWO).problems[0]
    assert str(problem) == (
        "pipelines.toml:5:18: pipelines.p.tasks.b.notebook: b.ipynb: there is no such notebook\n"
        '  b = { notebook = "b.ipynb", needs = ["a"], params = { limit = 3 } }\n'
        "                   ^\n"
        '  hint: did you mean "a.ipynb"?'
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "b.ipynb: the notebook is empty"),
        (json.dumps(document())[:-10], "b.ipynb: not a notebook: not valid JSON at line 1"),
        ("version https://git-lfs.github.com/spec/v1\n", "b.ipynb: this is a Git LFS pointer"),
        ("{\n<<<<<<< HEAD\n=======\n>>>>>>> x\n}", "b.ipynb: the notebook holds merge conflict markers"),
        ("print(1)", "b.ipynb: not a notebook"),
        (json.dumps({**document(), "nbformat": 3}), "b.ipynb: the notebook has the old format 3"),
        (json.dumps({**document(), "nbformat": 99}), "b.ipynb: the notebook has format 99"),
    ],
)
def test_a_file_that_is_no_notebook(folder: Folder, data: str, message: str) -> None:
    folder.notebook("a.ipynb", "region = 'us'")
    folder.write("b.ipynb", data)
    checked = folder.check(TWO)
    assert checked.spec is None
    assert [(problem.line, problem.col) for problem in checked.problems] == [(5, 18)]
    assert checked.problems[0].message.startswith(message)


def test_warnings_keep_nothing_from_running(folder: Folder) -> None:
    folder.notebook("a.ipynb", "x = 1", "x = 2")
    folder.notebook("b.ipynb", "limit = 1")
    checked = folder.check(TWO)
    assert checked.ok
    assert checked.spec is not None
    assert brief(checked.problems) == [
        UNUSED,
        "warning 4:18 pipelines.p.tasks.a.notebook: a.ipynb: cell 2 overwrites `x`",
    ]


def test_one_notebook_of_many_tasks_is_blamed_once(folder: Folder) -> None:
    text = "[pipelines.p.tasks]\n" + "".join(f't{i} = {{ notebook = "x.ipynb" }}\n' for i in range(5))
    assert said(folder, text) == [
        "2:19 pipelines.p.tasks.t0.notebook: x.ipynb: there is no such notebook (also for 4 other tasks)"
    ]


def test_a_link_out_of_the_project_is_refused(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = Folder(tmp_path_factory.mktemp("outside"))
    outside.notebook("x.ipynb")
    (folder.root / "x.ipynb").symlink_to(outside.root / "x.ipynb")
    (folder.root / "deep").symlink_to(outside.root)
    text = '[pipelines.p.tasks]\na = { notebook = "x.ipynb" }\nb = { notebook = "deep/x.ipynb" }\n'
    assert said(folder, text) == [
        "2:18 pipelines.p.tasks.a.notebook: x.ipynb: this is a link that leaves the project",
        "3:18 pipelines.p.tasks.b.notebook: deep/x.ipynb: this is a link that leaves the project",
    ]


@pytest.mark.parametrize("name", ["a b.ipynb", "-a.ipynb", "{a}%s.ipynb", "é日本.ipynb", "deep/er/a.ipynb"])
def test_odd_paths_work(folder: Folder, name: str) -> None:
    folder.notebook(name, "x = 1")
    checked = folder.check(f'[pipelines.p.tasks]\na = {{ notebook = "{name}", params = {{ x = 2 }} }}\n')
    assert checked.ok, brief(checked.problems)
    assert list(checked.contracts) == [name]


def test_what_follows_from_a_fault_is_not_said(folder: Folder) -> None:
    text = """\
[pools]
w = "many"
[pipelines.p]
params.limit = { typ = "int" }
[pipelines.p.tasks]
a = "a.ipynb"
b = { notebook = "b.ipynb", needs = ["a"], pool = "w", slots = 9, params = { limit = "{{ params.limit }}" } }
c = { notebook = "b.ipynb", for_each = 1, params = { limit = "{{ item }}" }, when = "item > 1" }
"""
    folder.notebook("b.ipynb", "limit = 1")
    assert [one.split(": ")[0] for one in said(folder, text)] == [
        "2:5 pools.w",
        "4:8 pipelines.p.params.limit",
        "6:5 pipelines.p.tasks.a",
        "8:40 pipelines.p.tasks.c.for_each",
    ]
    assert [one.split(": ")[0] for one in said(folder, "[pipeline.x]\n")] == ["1:2 pipeline"]


def test_the_complete_example_lacks_notebooks_only(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", "somewhere")
    (folder.root / "notebooks").mkdir()
    folder.write("teams/x/pipelines.toml", "")
    found = [one for one in said(folder, COMPLETE) if "not supported yet" not in one]
    assert len(found) == 6
    assert all("there is no such notebook" in one for one in found)


def test_a_cycle_of_ten_thousand_tasks_is_shown_short(folder: Folder) -> None:
    folder.notebook("x.ipynb")
    size = 10_000
    tasks = "".join(f't{i} = {{ notebook = "x.ipynb", needs = ["t{(i - 1) % size}"] }}\n' for i in range(size))
    (problem,) = folder.check("[pipelines.p.tasks]\n" + tasks).problems
    assert problem.line == 2
    assert "(10,000 tasks)" in problem.message
    assert len(str(problem)) < 400


def test_faults_of_included_files_have_their_places_there(folder: Folder) -> None:
    folder.write("team/more.toml", '[pipelines.q.tasks]\n\nx = { notebook = "none.ipynb", needs = ["y"] }\n')
    checked = folder.check('nbflow.include = ["team/*.toml"]\n')
    assert [(problem.file, problem.line, problem.col) for problem in checked.problems] == [
        ("team/more.toml", 3, 18),
        ("team/more.toml", 3, 41),
    ]
    assert checked.problems[0].message.startswith("team/none.ipynb: there is no such notebook")


def test_faults_that_a_profile_makes_have_their_places_in_it(folder: Folder) -> None:
    folder.notebook("a.ipynb", "region = 'us'")
    folder.notebook("b.ipynb", "limit = 1")
    text = TWO + "[profiles.x.pipelines.p]\nparams.region = 7\ntasks.b.needs = ['z']\n"
    assert not said(folder, text)
    assert said(folder, text, "x") == [
        "7:17 pipelines.p.params.region: the type is int, and a.ipynb declares `region` as str",
        '8:18 pipelines.p.tasks.b.needs.0: there is no task "z" in this pipeline (tasks of this pipeline: a, b)',
    ]


def test_a_project_without_notebooks_does_not_look_for_kernels(folder: Folder) -> None:
    folder.write("pipelines.toml", "")

    def kernels() -> dict[str, str]:
        raise AssertionError

    checked = check(folder.file, kernels=kernels)
    assert brief(checked.problems)[0].startswith("None:None pipelines: there is no pipeline")


def test_kernels_are_known_without_asking_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"Mine": '{"language": "r"}', "broken": "{", "list": "[]"}.items():
        place = tmp_path / "kernels" / name
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    asked: list[str] = []
    monkeypatch.setattr(module, "installed_kernels", lambda: asked.append("asked") or {"far": "julia"})
    assert known_kernels(["mine", "MINE"])["mine"] == "r"
    assert "broken" not in known_kernels([])
    assert asked == []
    assert known_kernels(["mine", "far"]) == {"far": "julia"}


def test_a_folder_of_kernels_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / ("far" * 100)))  # an error of the system, also for root
    assert "python3" in known_kernels(["python3"])


def test_installed_kernels_of_this_machine() -> None:
    assert installed_kernels()["python3"] == "python"


def test_no_mutation_of_a_project_raises(folder: Folder) -> None:
    chance = random.Random(11)
    folder.notebook("a.ipynb", "region = 'us'\nday = None")
    folder.notebook("b.ipynb", "limit = 1", kernel="ir")
    base = TWO.replace("limit = 3", 'limit = "{{ params.region }}", x = { y = [1] }') + (
        'c = { notebook = "a.ipynb", needs = ["a", "b"], when = "tasks.b.outputs.x > 1", matrix = { k = [1, "x"] } }\n'
    )
    words = [
        "{{ tasks.a.outputs.x }}",
        "{{",
        "1 +",
        "a",
        "b",
        "c",
        "",
        "x" * 100,
        "9**9**9",
        "{{ matrix.k }}",
        "é",
        "\\u0000",
    ]
    values = [
        "1",
        "-1",
        "1e400",
        "nan",
        "true",
        "2026-01-01",
        "07:32:00",
        "[]",
        "{}",
        "[[1]]",
        "{ k = [] }",
        "[1, [2]]",
    ]
    for seed in range(300):
        lines = base.splitlines()
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(lines))
            if chance.random() < 0.5 and '"' in lines[at]:
                parts = lines[at].split('"')
                parts[chance.randrange(1, len(parts), 2)] = chance.choice(words)
                lines[at] = '"'.join(parts)
            else:
                key, _, rest = lines[at].partition("=")
                tail = rest.partition("=")[2] if chance.random() < 0.5 else ""
                lines[at] = (
                    f"{key}= {chance.choice(values)}" if not tail else f"{key}={{ params = {chance.choice(values)} }}"
                )
        checked = folder.check("\n".join(lines))
        assert checked.ok == (checked.spec is not None), seed
        assert all(len(str(problem).splitlines()) <= 5 for problem in checked.problems), seed


def test_reading_and_judging_can_be_done_one_after_the_other(folder: Folder) -> None:
    folder.notebook("x.ipynb")
    folder.write("pipelines.toml", '[pipelines.p.tasks]\nx = { notebook = "x.ipynb" }\n')
    what = read(folder.file)
    assert what.is_whole
    assert judge(what, kernels=lambda: KERNELS) == check(folder.file, kernels=lambda: KERNELS)


@pytest.mark.parametrize("tasks", ['x = { notebook = "none.ipynb" }', "x = {}"])
def test_what_could_not_be_read_is_not_whole(folder: Folder, tasks: str) -> None:
    folder.write("pipelines.toml", f"[pipelines.p.tasks]\n{tasks}\n")
    assert not read(folder.file).is_whole


def test_text_notebooks_are_judged_as_others_are(folder: Folder) -> None:
    folder.write("a.py", '# %% tags=["parameters"]\nregion = "us"\n')
    folder.write("b.md", "---\njupyter:\n  kernelspec: [1\n---\n")
    folder.write("util.py", "")
    text = """\
[pipelines.p.params]
region = 1
[pipelines.p.tasks]
a = { notebook = "a.py" }
b = { notebook = "b.md", kernel = "python3" }
c = { notebook = "utils.py" }
d = { notebook = "util.ipynb" }
"""
    assert said(folder, text) == [
        "2:10 pipelines.p.params.region: the type is int, and a.py declares `region` as str",
        (
            '4:18 pipelines.p.tasks.a.notebook: a.py names no kernel (set `kernel = "..."` for the task; '
            "installed: ir, python3)"
        ),
        (
            "5:18 pipelines.p.tasks.b.notebook: b.md: its header is not valid YAML at line 3: "
            "expected ',' or ']', but got '<stream end>'"
        ),
        '6:18 pipelines.p.tasks.c.notebook: utils.py: there is no such notebook (did you mean "util.py"?)',
        "7:18 pipelines.p.tasks.d.notebook: util.ipynb: there is no such notebook",
    ]
