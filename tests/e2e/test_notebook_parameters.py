"""Parameters, case by case: what is refused by `validate`, and how the rest arrives in a real kernel."""

from __future__ import annotations

import ast
import datetime as dt
import enum
import json
import math
import uuid
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import nbflow
from nbflow.core.attempt import Verdict
from nbflow.errors import UsageError
from support.attempts import Bench, bench, code, notebook, order, text
from support.folders import Folder, document
from support.real import command, finished, install_kernel, notebook_of, problems, ran

RICH = """\
from typing import Annotated, Literal
colour = "#fff"  # Of the line, as in a=b
limit: int | None = 10  # At most
mode: Literal["full", "delta"] = "delta"
note: Annotated[str, "For the reader"] = "a=b"
days = [
    1,
    2,
]
if limit:
    extra = 1
"""

TASKS = """
[pipelines.p.tasks]
bare = { notebook = "bare.ipynb", params = { a = 1 } }
typo = { notebook = "rich.ipynb", params = { colur = "#000" } }
text = { notebook = "rich.ipynb", params = { limit = "10" } }
mode = { notebook = "rich.ipynb", params = { mode = "ful" } }
days = { notebook = "rich.ipynb", params = { days = 3 } }
good = { notebook = "rich.ipynb", params = { colour = "#000", limit = 3, mode = "full", days = [3], extra = 2 } }
late = { notebook = "late.ipynb", params = { region = "us", limit = 1 } }
huge = { notebook = "rich.ipynb", params = { note = "HUGE" } }
shell = { notebook = "shell.ipynb", params = { a = "$HOME" } }
inside = { notebook = "bash.ipynb", params = { a = [{ max = "x" }] } }
name = { notebook = "rich.ipynb", params = { "x; import os" = 1 } }
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `nbflow validate` says of a project full of mistakes, by key below the tasks."""
    folder = Folder(tmp_path_factory.mktemp("mistakes"))
    folder.notebook("bare.ipynb", None)
    folder.notebook("rich.ipynb", RICH)
    folder.notebook("shell.ipynb", "$a = 1", kernel="pwsh", language="powershell")
    folder.notebook("bash.ipynb", "a=1", kernel="sh", language="bash")
    late = document(None, "print(limit)", "region = 'us'", "region = region.lower()")
    tagged = [code("region = 'eu'", "parameters"), code("limit = 1\nroom = limit * 2", "parameters")]
    late["cells"][1:1] = tagged
    folder.write("late.ipynb", json.dumps(late))
    folder.write("pipelines.toml", TASKS.replace("HUGE", "x" * 2_000_000))
    with pytest.MonkeyPatch.context() as patch:
        kernels = install_kernel(tmp_path_factory.mktemp("jupyter"), "pwsh", language="powershell")
        patch.setenv("JUPYTER_PATH", str(install_kernel(kernels, "sh", language="bash")))
        found = problems(folder.root)
    return {key.removeprefix("pipelines.p.tasks."): messages for key, messages in found.items()}


class TestValidate:
    def test_a_value_for_a_notebook_without_a_parameters_cell(self, said: dict[str, list[str]]) -> None:
        (message,) = said["bare.params"]
        assert (
            message == "bare.ipynb has no `parameters` cell (tag the cell that sets the parameters with `parameters`)"
        )

    def test_a_misspelt_parameter(self, said: dict[str, list[str]]) -> None:
        assert said["typo.params.colur"] == ['rich.ipynb declares no parameter `colur` (did you mean "colour"?)']

    def test_default_10_given_text(self, said: dict[str, list[str]]) -> None:
        (message,) = said["text.params.limit"]
        assert message == "'10', of type str, is no int (rich.ipynb declares `limit` as int)"

    def test_a_source_that_patterns_misread(self, said: dict[str, list[str]]) -> None:
        """`"#fff"`, `"a=b"`, `int | None`, a multi-line list, an `if` block; `Literal` gives options."""
        assert not [key for key in said if key.startswith("good.")]
        (options,) = said["mode.params.mode"]
        assert "'ful' is none of the options: 'full', 'delta'" in options
        (kind,) = said["days.params.days"]
        assert "is no list" in kind

    def test_the_cell_is_not_the_first_or_several_bear_the_tag(self, said: dict[str, list[str]]) -> None:
        assert "warning: late.ipynb: cell 1 uses `limit` above the parameters cell" in said["late.notebook"]

    def test_a_later_cell_assigns_the_parameter_again(self, said: dict[str, list[str]]) -> None:
        overwritten = [message for message in said["late.notebook"] if "overwrites" in message]
        assert overwritten == ["warning: late.ipynb: cell 4 overwrites `region`"]

    def test_a_value_derived_in_the_parameters_cell(self, said: dict[str, list[str]]) -> None:
        (message,) = [message for message in said["late.notebook"] if "derived" in message]
        assert "room is derived from limit" in message
        assert "derive it below" in message

    def test_a_value_of_10_mb(self, said: dict[str, list[str]]) -> None:
        (message,) = said["huge.params.note"]
        assert "2.0 MB is above the limit of 1.0 MB; write a file and pass its path" in message

    def test_dollar_in_powershell_strings(self, said: dict[str, list[str]]) -> None:
        """A language that nobody here can write exactly is refused by its name."""
        (message,) = said["shell.params.a"]
        assert "parameters cannot be written in 'powershell'" in message

    def test_nested_containers_where_the_language_has_none(self, said: dict[str, list[str]]) -> None:
        (message,) = said["inside.params.a"]
        assert message == "a[0]: Bash has text, numbers, dates and times, and lists of them, no dict in a list"

    def test_a_name_that_looks_like_code(self, said: dict[str, list[str]]) -> None:
        assert any("x; import os" in key for key in said)


class _Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "said_of_it"),
    [
        (b"x", "value: a value of type bytes cannot be passed on exactly"),
        (_Colour.RED, "_Colour cannot be passed on exactly"),
        ("x" * 10_000_000, "10.0 MB is above the limit of 1.0 MB; write a file and pass its path"),
        (uuid.UUID(int=1), "value: a value of type uuid.UUID cannot be passed on exactly"),
        ([0, 1, 2, {"max": b"x"}], "value[3].max: a value of type bytes cannot be passed on exactly"),
        (np.datetime64("2026-01-31T00:00:00.000000001"), "numpy.datetime64 cannot be passed on exactly"),
    ],
)
def test_decimal_bytes_enum_uuid(tmp_path: Path, value: object, said_of_it: str) -> None:
    """Those without an exact form are refused by name of type and place, before anything runs."""
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb", "free = None")
    folder.write("pipelines.toml", '[pipelines.p]\nparams = { free = 0 }\n[pipelines.p.tasks]\na = "a.ipynb"\n')
    folder.write("pipelines.toml", folder.file.read_text().replace('"a.ipynb"', '{ notebook = "a.ipynb" }'))
    with nbflow.Project.open(folder.file) as project, pytest.raises(UsageError) as refused:
        project.run("p", params={"free": value})
    assert said_of_it in refused.value.message
    assert not (tmp_path / "outputs/p").exists()


HOSTILE = "x'\"\\\n'''\"\"\"; import os; os._exit(1) # {} %s $HOME `id` \x1b[31m \u2028 é 😀"
VALUES: dict[str, Any] = {
    "nothing": None,
    "day": date(2026, 1, 31),
    "at": datetime(2026, 1, 31, 5, 0, tzinfo=UTC),
    "local": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1),
    "noon": time(12, 0, 0, 5),
    "wait": timedelta(days=-1, microseconds=1),
    "path": PurePosixPath("data/raw #1.csv"),
    "price": Decimal("1.10"),
    "pair": (1, (2,), ()),
    "some": {"b", "a"},
    "fixed": frozenset({1, None}),
    "deep": [{"max": [1.5, {"x": (True,)}]}],
    "keys": {1: "one", "1": "text", (1, 2): "pair", date(2026, 1, 1): "day"},
    "inf": math.inf,
    "tiny": 5e-324,
    "big": 2**200,
    "zeros": "01234",
    "hostile": HOSTILE,
    "set": "the name of a builtin",
    "datetime": "the name of a module",
    "count": np.int64(3),
    "share": np.float64(0.1),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """With a formatter on the path that would be noticed: parameters are written by nbflow alone."""
    place = tmp_path_factory.mktemp("formatter")
    (place / "black.py").write_text(
        "def format_str(*a, **k): return 'formatted = True'\nclass FileMode: pass\nMode=FileMode\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(place), prepend=":")
        with bench() as made:
            yield made


def test_a_value_arrives_exactly_as_it_was_given(runs: Bench, tmp_path: Path) -> None:
    """None; date, datetime, time, path; tuple, set, nested containers; numpy scalars; a value that looks like code."""
    names = ", ".join(VALUES)
    first = code(f"{' = '.join(VALUES)} = None  # kept", "parameters")
    cells = (
        first,
        code("region = 'eu'", "parameters"),
        f"print(({names}))",
    )
    done = order(tmp_path, *cells, params=VALUES)
    outcome, found = ran(runs, done)
    assert outcome.verdict is Verdict.SUCCEEDED, outcome.error
    # the parameters cells themselves are kept, and the injected cell follows the last of them
    tags = [cell["metadata"].get("tags") for cell in found["cells"]]
    assert tags == [["parameters"], ["parameters"], ["injected-parameters"], None]
    assert "".join(found["cells"][0]["source"]) == first["source"]
    expected = {**VALUES, "count": 3, "share": 0.1, "path": Path(VALUES["path"])}
    printed = text(found["cells"][-1])
    known = {"datetime": dt, "zoneinfo": zoneinfo, "PosixPath": Path, "Decimal": Decimal, "inf": math.inf}
    arrived = dict(zip(VALUES, eval(printed, known), strict=True))  # noqa: S307 - we have printed it
    assert arrived == expected
    assert {name: type(value) for name, value in arrived.items()} == {n: type(v) for n, v in expected.items()}
    assert arrived["local"].fold == 1
    # what was sent can be proved: constants, constructors called with constants, and their imports
    injected = "".join(found["cells"][2]["source"])
    assert_constant(ast.parse(injected))
    assert "formatted" not in injected
    facts = found["metadata"]["nbflow"]["parameters"]
    assert (facts["day"], facts["price"], facts["zeros"]) == ("2026-01-31", "1.10", "01234")


def assert_constant(tree: ast.Module) -> None:
    """A module of assignments and imports in which nothing is read but modules and constructors."""
    allowed = (ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Call, ast.Attribute, ast.Name, ast.keyword)
    allowed += (ast.UnaryOp, ast.USub, ast.Load)  # type: ignore[assignment]
    modules: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Import(names=names):
                modules |= {str(alias.asname) for alias in names}
            case ast.Assign(targets=[ast.Name()], value=value):
                for part in ast.walk(value):
                    assert isinstance(part, allowed), ast.dump(part)
                    if isinstance(part, ast.Name):
                        assert part.id in modules | {"float", "frozenset"}, part.id
            case _:
                raise AssertionError(ast.dump(statement))


ASKED = """
[pipelines.p.params]
code = "x"
limit = 1
rate = 0.5
free = { type = "any", default = 0 }
[pipelines.p.tasks]
a = { notebook = "a.ipynb" }
"""


def test_numbers_on_the_command_line(tmp_path: Path) -> None:
    """`01234`, `1_000`, `1e5`: read by the declared type, else kept as text; with the row "derived", as it runs."""
    folder = Folder(tmp_path)
    folder.notebook(
        "a.ipynb",
        "code = ''\nlimit = 1\nrate = 0.5\nfree = None\nroom = limit * 2",
        "print(repr((code, limit, rate, free)), room)",
    )
    folder.write("pipelines.toml", ASKED)
    for wrong in ("1_000", "01234"):
        command(tmp_path, "run", "p", "-p", f"limit={wrong}", code=2)
    given = ("-p", "code=01234", "-p", "limit=10", "-p", "rate=1e5", "-p", "free=1_000")
    done = finished(tmp_path, command(tmp_path, "run", "p", "--json", *given))
    assert done["params"] == {"code": "01234", "limit": 10, "rate": 100000.0, "free": "1_000"}
    cells = notebook_of(tmp_path, done, "a")["cells"]
    assert text(cells[-1]) == "('01234', 10, 100000.0, '1_000') 2\n"


def test_a_value_that_a_notebook_cannot_take_is_refused_again_when_it_runs(runs: Bench, tmp_path: Path) -> None:
    """The notebook may have changed since the plan: contract and values are checked again, before a kernel starts."""
    changed = notebook(code("limit: int = 1", "parameters"), "print('ran')")
    outcome, found = ran(runs, order(tmp_path, document=changed, params={"limit": "many"}))
    assert outcome.error is not None
    assert "parameter 'limit': 'many', of type str, is no int" in outcome.error.message
    assert all(cell["outputs"] == [] for cell in found["cells"])
