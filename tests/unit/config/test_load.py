"""Loading a project: the whole specification, or everything that is wrong with how it is written."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbflow.config.load import load, timezone_fault
from nbflow.config.state import POSSIBLE
from nbflow.core.faults import nearest
from nbflow.core.spec import Matrix, Origin, Param, ParamType, RunIf
from support.folders import Folder, brief

COMPLETE = (Path(__file__).parent / "complete.toml").read_text("utf-8")
FIRST_STAGE = """\
[nbflow]
timezone = "Europe/Prague"
outputs = "out"
[defaults]
kernel = "python3"
retries = 2
retry_delay = "30s"
timeout = "30m"
[pools]
warehouse = 2
[pipelines.sales]
description = "Daily sales report"
timeout = "3h"
tags = ["finance"]
max_parallel = 4
[pipelines.sales.params]
region = "eu"
day = { type = "date", default = "{{ run.date }}" }
[pipelines.sales.tasks]
extract = { notebook = "extract.ipynb", pool = "warehouse" }
report = { notebook = "report.ipynb", needs = ["extract"], run_if = "all_done", retries = 0 }
[pipelines.sales.tasks.train]
notebook = "train.ipynb"
needs = ["extract"]
when = "params.region == 'eu'"
matrix = { model = ["ridge", "gbm"] }
params = { model = "{{ matrix.model }}" }
[profiles.prod]
defaults = { timeout = "2h" }
"""


ALL_AT_ONCE = """
2:12 nbflow.timezone: the text "Europe/Pragu" is no name of a time zone (did you mean "Europe/Prague"?)
3:13 nbflow.notebooks: there is no such folder
6:1 defaults.retires: unknown key (did you mean "retries"?)
7:11 defaults.timeout: expected a duration, not the text "soon" (durations are written like "30s", "1h30m" or "7d", \
or as a number of seconds)
9:5 pools.w: expected a whole number from 1 to 1000000, not the number 0
10:1 pools.W: differs from the pool "w" by case alone
12:24 pipelines.a.tasks.extract.notebook: this path leaves the project: notebooks stand in the folder of \
pipelines.toml or below it
12:44 pipelines.a.tasks.extract.depends_on: unknown key (did you mean "needs"?)
12:74 pipelines.a.tasks.extract.timeout: expected a duration, not the number inf (a duration is between 0 and 3650d)
13:1 pipelines.a.tasks.9x: illegal name of a task: a name is a letter or _ and then at most 63 letters, digits, _ or -
13:6 pipelines.a.tasks.9x: expected a table, not the text "a.ipynb" (write { notebook = "a.ipynb" })
14:12 pipelines.A: differs from the pipeline "a" by case alone
15:20 pipelines.A.tasks.x.notebook: expected the path of a notebook, not the number 3
16:16 profiles.prod.default: unknown key (did you mean "defaults"?)
"""


def test_the_shortest_file(folder: Folder) -> None:
    loaded = folder.load('[pipelines.hello.tasks]\nextract = { notebook = "extract.ipynb" }\n')
    assert not loaded.problems
    assert loaded.spec is not None
    root = str(folder.root)
    assert (loaded.spec.root, loaded.spec.file, loaded.spec.timezone) == (root, "pipelines.toml", "UTC")
    assert (loaded.spec.outputs, loaded.spec.state) == (f"{root}/outputs", f"{root}/outputs/.nbflow/state.db")
    assert loaded.spec.pipelines["hello"].tasks["extract"].notebook == "extract.ipynb"


def test_everything_of_the_first_stage(folder: Folder) -> None:
    loaded = folder.load(FIRST_STAGE)
    assert not brief(loaded.problems)
    assert loaded.spec is not None
    spec, sales = loaded.spec, loaded.spec.pipelines["sales"]
    assert (spec.timezone, spec.pools) == ("Europe/Prague", {"warehouse": 2})
    assert spec.state == f"{folder.root}/out/.nbflow/state.db"
    assert (sales.description, sales.timeout, sales.tags, sales.max_parallel) == (
        "Daily sales report",
        10_800,
        ("finance",),
        4,
    )
    assert sales.params["day"] == Param(name="day", type=ParamType.DATE, default="{{ run.date }}")
    report, train = sales.tasks["report"], sales.tasks["train"]
    assert (report.needs, report.run_if, report.retry.retries) == (("extract",), RunIf.ALL_DONE, 0)
    assert (train.kernel, train.retry.delay, train.limits.timeout) == ("python3", 30, 1_800)
    assert train.matrix == Matrix(axes={"model": ("ridge", "gbm")})
    assert (train.when, dict(train.params)) == ("params.region == 'eu'", {"model": "{{ matrix.model }}"})
    assert list(sales.tasks) == ["extract", "report", "train"]


def test_a_profile_is_merged_over_the_file(folder: Folder) -> None:
    loaded = folder.load(FIRST_STAGE, "prod")
    assert loaded.spec is not None
    assert loaded.spec.profile == "prod"
    assert loaded.spec.pipelines["sales"].tasks["train"].limits.timeout == 7_200
    assert loaded.spec.origins["pipelines.sales.tasks.train.timeout"] == Origin(
        layer="profile", file="pipelines.toml", line=29
    )


def test_the_complete_example_is_known_and_only_not_supported_yet(folder: Folder) -> None:
    (folder.root / "notebooks").mkdir()
    folder.write("teams/x/pipelines.toml", "")
    loaded = folder.load(COMPLETE)
    assert loaded.spec is None
    assert len(loaded.problems) == 13
    assert all(problem.message.startswith("not supported yet: ") for problem in loaded.problems)
    assert all(problem.line and problem.source for problem in loaded.problems)
    assert brief(loaded.problems)[0] == "19:11 kernels.py312.python: not supported yet: python, line 19"


def test_all_faults_at_once_in_the_order_of_the_file(folder: Folder) -> None:
    text = """\
[nbflow]
timezone = "Europe/Pragu"
notebooks = "nb"
state = "postgresql://u:p@h/db"
[defaults]
retires = 2
timeout = "soon"
[pools]
w = 0
W = 1
[pipelines.a.tasks]
extract = { notebook = "../extract.ipynb", depends_on = ["x"], timeout = inf }
9x = "a.ipynb"
[pipelines.A]
tasks.x.notebook = 3
[profiles.prod.default]
"""
    assert "\n".join(brief(folder.load(text).problems)) == ALL_AT_ONCE.strip()


def test_a_problem_is_shown_with_file_line_col_key_and_caret(folder: Folder) -> None:
    problem = folder.load('[pipelines.a.tasks]\nx = { notebook = "x.ipynb", after = ["y"] }\n').problems[0]
    assert str(problem) == (
        "pipelines.toml:2:29: pipelines.a.tasks.x.after: unknown key\n"
        '  x = { notebook = "x.ipynb", after = ["y"] }\n'
        "                              ^\n"
        '  hint: did you mean "needs"?'
    )


def test_bom_and_crlf_change_nothing(folder: Folder) -> None:
    plain = folder.load(FIRST_STAGE).spec
    other = folder.load(b"\xef\xbb\xbf" + FIRST_STAGE.replace("\n", "\r\n").encode()).spec
    assert plain is not None
    assert other is not None
    assert plain.pipelines == other.pipelines


def test_profiles_that_are_not_chosen_are_judged_by_shape_alone(folder: Folder) -> None:
    text = FIRST_STAGE + '[profiles.later]\nnbflow.state = "s3://bucket"\npipelines.new.schedule = "@daily"\n'
    assert not folder.load(text).problems
    assert brief(folder.load(text, "later").problems) == [
        f"31:16 nbflow.state: a store cannot be at s3://... ({POSSIBLE})",
        "32:11 pipelines.new.tasks: `tasks` is missing",
        "32:15 pipelines.new.schedule: not supported yet: schedule, line 32",
    ]
    wrong = FIRST_STAGE + "[profiles.x]\ndefaults.retries = -1\n"
    for profile, key in ((None, "profiles.x.defaults.retries"), ("x", "defaults.retries")):
        assert [(problem.key, problem.line) for problem in folder.load(wrong, profile).problems] == [(key, 31)]


def test_paths_of_notebooks_start_in_the_notebooks_folder_if_there_is_one(folder: Folder) -> None:
    text = '[pipelines.a.tasks]\nx = { notebook = "x.ipynb" }\n'

    def notebook(text: str) -> str:
        spec = folder.load(text).spec
        assert spec is not None
        return spec.pipelines["a"].tasks["x"].notebook

    assert notebook(text) == "x.ipynb"
    (folder.root / "notebooks").mkdir()
    assert notebook(text) == "notebooks/x.ipynb"
    (folder.root / "nb" / "deep").mkdir(parents=True)
    assert notebook('nbflow.notebooks = "nb/deep"\n' + text) == "nb/deep/x.ipynb"
    assert notebook('nbflow.notebooks = "."\n' + text) == "x.ipynb"


def test_included_files_have_their_own_defaults_pools_and_folder(folder: Folder) -> None:
    folder.write(
        "teams/a/pipelines.toml",
        '[defaults]\nretries = 5\n[pools]\nq = 3\n[pipelines.b.tasks]\nx = { notebook = "x.ipynb", pool = "q" }\n',
    )
    (folder.root / "teams" / "b" / "notebooks").mkdir(parents=True)
    folder.write("teams/b/pipelines.toml", '[pipelines.c.tasks]\nx = { notebook = "x.ipynb" }\n')
    text = 'nbflow.include = ["teams/*/*.toml"]\n[defaults]\nretries = 1\nkernel = "k"\n[pipelines.a.tasks]\n'
    text += 'x = { notebook = "x.ipynb" }\n'
    spec = folder.load(text).spec
    assert spec is not None
    a, b, c = (spec.pipelines[name].tasks["x"] for name in "abc")
    assert [task.notebook for task in (a, b, c)] == ["x.ipynb", "teams/a/x.ipynb", "teams/b/notebooks/x.ipynb"]
    assert [task.retry.retries for task in (a, b, c)] == [1, 5, 1]
    assert {task.kernel for task in (a, b, c)} == {"k"}
    assert spec.pools == {"q": 3}


def test_faults_of_an_included_file_have_their_places_there(folder: Folder) -> None:
    folder.write(
        "sub/more.toml",
        "[defaults]\nretires = 1\n[nbflow]\ninclude = []\n[pipelines.b.tasks.x]\nnotebook = '../../x'\n",
    )
    problems = folder.load('nbflow.include = ["sub/*.toml"]\n[defaults]\nretires = 1\n').problems
    assert [(problem.file, problem.line, problem.key) for problem in problems] == [
        ("pipelines.toml", 3, "defaults.retires"),
        ("sub/more.toml", 2, "defaults.retires"),
        ("sub/more.toml", 3, "nbflow"),
        ("sub/more.toml", 6, "pipelines.b.tasks.x.notebook"),
    ]


@pytest.mark.parametrize("name", ["UTC", "Europe/Prague", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_time_zones(name: str) -> None:
    assert timezone_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("Europe", "europe/prague", "CEST+1", "../UTC", "/etc/localtime", "localtime", "posixrules", "right/UTC"),
        *("x" * 5_000, "a\0b", "tzdata.zi", "Europe/Prague "),
    ],
)
def test_what_is_no_time_zone(name: str) -> None:
    assert timezone_fault(name) is not None


def test_outputs_and_state_may_lie_anywhere_on_this_machine(folder: Folder) -> None:
    spec = folder.load(
        '[nbflow]\noutputs = "../out puts/{x}%"\nstate = "/var/lib/x.db"\n' + FIRST_STAGE.split("\n", 3)[3]
    ).spec
    assert spec is not None
    assert spec.outputs == str(folder.root.parent / "out puts/{x}%")
    assert spec.state == "/var/lib/x.db"


def test_outputs_may_be_a_url(folder: Folder) -> None:
    rest = FIRST_STAGE.split("\n", 3)[3]
    spec = folder.load('[nbflow]\noutputs = "s3://bucket/some/prefix/"\n' + rest).spec
    assert spec is not None
    assert spec.outputs == "s3://bucket/some/prefix"
    assert spec.local == f"{folder.root}/outputs"
    assert spec.archive == f"{folder.root}/outputs/.nbflow/spool"
    assert spec.state == f"{folder.root}/outputs/.nbflow/state.db"
    spec = folder.load(f'[nbflow]\noutputs = "file://{folder.root}/my%20archive"\n' + rest).spec
    assert spec is not None
    assert spec.outputs == spec.local == spec.archive == f"{folder.root}/my archive"
    text = '[nbflow]\noutputs = "s3://key:hunter2@bucket"\n' + rest
    (problem,) = folder.load(text).problems
    assert (problem.line, problem.col, problem.source) == (2, 11, None)
    assert "cannot hold credentials" in problem.message
    assert "hunter2" not in str(problem)


def test_a_relative_path_to_the_file_gives_an_absolute_root(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.load(FIRST_STAGE)
    (folder.root / "sub").mkdir()
    monkeypatch.chdir(folder.root / "sub")
    spec = load(Path("../pipelines.toml")).spec
    assert spec is not None
    assert spec.root == str(folder.root)


def test_no_mutation_of_a_file_raises(folder: Folder) -> None:
    chance = random.Random(7)
    pieces = [line for line in (FIRST_STAGE + COMPLETE).splitlines() if line.strip()]
    tokens = [
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "=",
        ".",
        ",",
        "\n",
        "#",
        "\\",
        "\0",
        "\x1b",
        "1",
        "inf",
        "{{",
        "}}",
        "[[x]]\n",
        "é",
        "9" * 50,
    ]
    for seed in range(400):
        lines = FIRST_STAGE.splitlines()
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(lines))
            match chance.randrange(5):
                case 0:
                    lines.insert(at, chance.choice(pieces))
                case 1:
                    lines[at] = chance.choice(pieces)
                case 2:
                    key, _, value = lines[at].partition("=")
                    lines[at] = (
                        f"{key}={chance.choice(['1', '{}', '[]', 'true', '[[1]]', '{a={b=1}}', '2026-01-01', value])}"
                    )
                case 3:
                    del lines[at]
                    lines.append("")
                case _:
                    cut = chance.randint(0, len(lines[at]))
                    lines[at] = lines[at][:cut] + chance.choice(tokens) + lines[at][cut:]
        loaded = folder.load("\n".join(lines), chance.choice([None, "prod", "none"]))
        assert (loaded.spec is None) == any(not problem.warning for problem in loaded.problems), seed
        for problem in loaded.problems:
            assert len(str(problem).splitlines()) <= 5
            assert "\x1b" not in str(problem)
            json.dumps([problem.file, problem.line, problem.col, problem.key, problem.message, problem.hint])


def test_loading_imports_nothing_heavy(folder: Folder) -> None:
    folder.load(FIRST_STAGE)
    heavy = {
        "networkx",
        "nbformat",
        "papermill",
        "jupyter_client",
        "jupyter_core",
        "pydantic",
        "click",
        "rich",
        "asyncio",
    }
    code = (
        "import sys; from pathlib import Path; from nbflow.config.load import load;"
        f"spec = load(Path({str(folder.file)!r})).spec; assert spec is not None;"
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & {heavy}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.stdout == "[]\n"


def large(tasks: int) -> str:
    return "[pipelines.p.tasks]\n" + "".join(
        f't{i} = {{ notebook = "n{i}.ipynb", needs = ["t{i - 1}"], params = {{ x = {i} }} }}\n'
        if i
        else 't0 = { notebook = "n.ipynb" }\n'
        for i in range(tasks)
    )


def test_ten_thousand_tasks_load_in_linear_time(folder: Folder) -> None:
    def seconds(tasks: int) -> float:
        text = large(tasks)
        start = time.process_time()
        spec = folder.load(text).spec
        assert spec is not None
        assert spec.origins[f"pipelines.p.tasks.t{tasks - 1}.needs"].line == tasks + 1
        return time.process_time() - start

    small = min(seconds(1_000) for _ in range(3))
    assert min(seconds(10_000) for _ in range(2)) < 10 * small * 3


def test_ten_thousand_faults_have_places_in_linear_time(folder: Folder) -> None:
    text = large(10_000).replace("params", "parms")
    start = time.process_time()
    problems = folder.load(text).problems
    assert time.process_time() - start < 20
    assert len(problems) == 9_999
    assert problems[-1].line == 10_001
    assert nearest("parms", ["params", "pool"]) == "params"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Prague", 'did you mean "Europe/Prague"?'),
        ("america/new york", 'did you mean "America/New_York"?'),
        ("Mars/Base", 'a name is such as "Europe/Prague"'),
    ],
)
def test_zones_that_were_meant_are_named_and_no_others(name: str, hint: str) -> None:
    fault = timezone_fault(name)
    assert fault is not None
    assert fault.hint == hint


def test_never_more_than_three_zones_are_named() -> None:
    fault = timezone_fault("America/Indiana")
    assert fault is not None
    assert fault.hint is not None
    assert fault.hint.count('"America/') <= 3


@pytest.mark.parametrize(
    ("text", "profile", "is_sure"),
    [
        ("[pools]\np = 0", None, True),
        ("[nbflow]\ntimezone = 'x'", None, True),
        ("[pipelines.a.tasks]\nx = 1", "other", True),
        ("[profiles.p.nbflow]\nstate = 5", None, True),
        ("executors = 1", None, True),
        ("x = [", None, False),
        ("x = 1", None, False),
        ("nbflow = 1", None, False),
        ("[nbflow]\nstat = 's.db'", None, False),
        ("[nbflow]\nstate = 5", None, False),
        ("[nbflow]\noutputs = 5", None, False),
        ("[profiles.p.nbflow]\nstate = 5", "p", False),
        ("[profiles.p.nbflow]\nstat = 's.db'", "p", False),
        ("[profiles]\np = 5", "p", False),
    ],
)
def test_whether_the_places_are_sure(folder: Folder, text: str, profile: str | None, is_sure: bool) -> None:
    if profile == "other":
        text += "\n[profiles.other.pools]\nq = 1"
    loaded = load(folder.write("pipelines.toml", text), profile=profile)
    assert loaded.is_sure_of_places is is_sure
    assert not loaded.lacks_profile
