"""Templates: every value is escaped, nothing is fetched, a missing value is an error."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from jinja2 import UndefinedError

from nbflow import __version__
from nbflow.archive import render
from nbflow.archive.palette import STATES


def test_values_are_escaped_and_missing_ones_are_errors() -> None:
    environment = render._environment()
    assert environment.from_string("{{ x }}").render(x="<b>\"'") == "&lt;b&gt;&#34;&#39;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ x }}").render()


def test_macros_escape_too() -> None:
    text = render._environment().from_string(
        '{% from "macros.html.j2" import badge, values %}{{ badge(s) }}{{ values(v) }}'
    )
    page = text.render(s='<i>"', v=[("<a>", "<b>")])
    assert not re.search(r"<[iab]>", page)
    for state in STATES:
        assert STATES[state][1] in text.render(s=state, v=[])


def test_text_that_utf_8_cannot_hold_does_not_stop_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_environment", FakeEnvironment)
    assert render.render("any") == "a?b"


class FakeEnvironment:
    def get_template(self, _: str) -> FakeEnvironment:
        return self

    def render(self, _: dict[str, object]) -> str:
        return "a\ud800b"


def test_templates_name_no_address_and_hold_no_script() -> None:
    for file in render.TEMPLATES.iterdir():
        text = file.read_text()
        assert not re.search(r"https?://|//cdn|@import|url\(", text), file.name
        assert not re.search(r"<script|\son\w+=|\|\s*safe\b", text), file.name


def test_the_policy_allows_nothing_that_runs_or_is_fetched() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in render.POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    assert rules["img-src"] == "data:"
    assert rules["form-action"] == rules["base-uri"] == "'none'"


def test_pages_name_their_maker() -> None:
    page = render._environment().from_string('{% from "macros.html.j2" import head %}{{ head("t") }}').render()
    assert f'content="nbflow {__version__}"' in page
    assert f'content="{render.POLICY}"'.replace("'", "&#39;") in page


def test_importing_the_pages_imports_nothing_heavy() -> None:
    names = "bs4 jinja2 nbconvert nbformat networkx pygments mistune bleach"
    code = (
        "import sys, nbflow.archive.index, nbflow.archive.page, nbflow.archive.graphs, nbflow.archive.files\n"
        f"print([name for name in {names.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
