"""Documentation that is enforced: the reference is that of the code, links lead somewhere, examples load and run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from nbflow.cli.main import cli
from nbflow.core import events
from nbflow.core.attempt import CellState, ErrorKind
from nbflow.core.status import RunStatus, TaskState

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reference_is_that_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_in_the_docs_parses(page: Path) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        tomllib.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_docs_exist(page: Path) -> None:
    known = set(cli.list_commands(click.Context(cli)))
    for block in re.findall(r"^```(?:sh|console|text)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = re.match(r"^\s*(?:\$ )?(?:\.venv/bin/)?nbflow((?: +-\S+(?:[ =][^-\s]\S*)?)*) +([a-z]+)\b", line)
            if words and words[2] not in known:
                assert page.name == "architecture.md", f"{name_of(page)}: there is no command '{words[2]}': {line}"


def test_every_command_is_in_the_docs_of_people() -> None:
    """Beside the reference, each command is named in a page that a person wrote."""
    written = "\n".join(page.read_text("utf-8") for page in PAGES if "reference" not in page.parts)
    for name in cli.list_commands(click.Context(cli)):
        assert f"nbflow {name}" in written, f"no page that a person wrote shows `nbflow {name}`"


def test_every_word_of_the_contract_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for word in (*TaskState, *RunStatus, *CellState, *ErrorKind):
        assert f"`{word}`" in glossary, f"the glossary does not have `{word}`"


def test_every_event_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text("utf-8")
    for name in events.TYPES:
        assert f"## `{name}`" in page


def test_the_readme_has_its_two_commands_first() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "nbflow run flights_nightly" in blocks[0]
    assert "pytest" in blocks[1]


CATALOGUE = ROOT / "docs" / "reference" / "faults.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)*)`( \*\(slow\)\*)?")


def known_tests(path: Path) -> dict[str, bool]:
    """The tests of a file, `name` or `Class::name`, and whether all of each is slow."""
    found: dict[str, bool] = {}
    tree = ast.parse(path.read_text("utf-8"))
    whole = any(is_slow(one.value) for one in tree.body if isinstance(one, ast.Assign))

    def collect(body: list[ast.stmt], before: str, slow: bool) -> None:
        for one in body:
            if isinstance(one, ast.ClassDef | ast.FunctionDef):
                marked = slow or any(map(is_slow, one.decorator_list))
                if isinstance(one, ast.ClassDef):
                    collect(one.body, f"{before}{one.name}::", marked)
                elif one.name.startswith("test_"):
                    found[before + one.name] = marked

    collect(tree.body, "", whole)
    return found


def is_slow(node: ast.expr) -> bool:
    """Whether a mark is that of slow tests; one of some parameters alone is none."""
    return any(ast.unparse(one) == "pytest.mark.slow" for one in (node.elts if isinstance(node, ast.List) else [node]))


def test_the_catalogue_of_faults_names_tests_that_exist() -> None:
    named = NAMED.findall(CATALOGUE.read_text("utf-8"))
    assert len(named) > 100
    for path, name, slow in named:
        assert (ROOT / path).is_file(), f"there is no {path}"
        if name:
            known = known_tests(ROOT / path)
            assert name.removeprefix("::") in known, f"there is no {path}{name}"
            assert known[name.removeprefix("::")] == bool(slow), f"{path}{name}: slow, or not"


def test_the_catalogue_of_faults_names_all_that_is_tested() -> None:
    text = CATALOGUE.read_text("utf-8")
    for path in sorted((ROOT / "tests/faults").glob("test_*.py")):
        assert f"`tests/faults/{path.name}::" in text, f"no fault is shown by {path.name}"
    numbers = {"P": 9, "K": 9, "A": 5, "D": 5, "L": 4, "V": 3}
    for one in (
        *(f"{letter}{number}" for letter, most in numbers.items() for number in range(1, most + 1)),
        "T1",
        "T2",
    ):
        assert re.search(rf"\*\*[^*]*\b{one}\b", text), f"{one} is not in the catalogue"
