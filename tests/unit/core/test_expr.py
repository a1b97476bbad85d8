"""Templates and names: what `{{ }}` becomes, what is read, and what is checked before anything runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.expr import (
    Allowed,
    ExprError,
    check_references,
    is_template,
    parse_expression,
    parse_template,
    references,
    render,
)

SCOPE: dict[str, Any] = {
    "params": {"limit": 5, "region": "eu", "files": ["a", "b"], "folder": PurePosixPath("data/x"), "none": None},
    "run": {"id": "r1", "date": date(2026, 1, 31), "logical_date": datetime(2026, 1, 31, 6, tzinfo=UTC)},
    "env": {"HOME": "/home/x"},
    "tasks": {"clean": {"outputs": {"evil": "{{ env('HOME') }}"}}},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ params.limit }}", 5),
        ("{{params.limit}}", 5),
        ("{{ params.files }}", ["a", "b"]),
        ("{{ run.date }}", date(2026, 1, 31)),
        ("{{ params.none }}", None),
        ("{{ params.limit > 3 }}", True),
        ("n={{ params.limit }}", "n=5"),
        (" {{ params.limit }}", " 5"),
        ("{{ params.limit }}{{ params.limit }}", "55"),
        ("{{ params.folder }}/{{ run.date }}.csv", "data/x/2026-01-31.csv"),
        ("at {{ run.logical_date }}", "at 2026-01-31T06:00:00+00:00"),
        ("{{ params.files }}!", '["a", "b"]!'),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{' }} {{ \"}}\" }}", "{{ }}"),
        ("{{ 'it\\'s }}' }}", "it's }}"),
        ("{{ 'a'\n + 'b' }}", "ab"),
        ("plain", "plain"),
        ("", ""),
        ("{x.__class__}", "{x.__class__}"),
        ("{0.__init__.__globals__}", "{0.__init__.__globals__}"),
        ("%(x)s ${x} $(id) `id`", "%(x)s ${x} $(id) `id`"),
        ("{ { params.limit } }", "{ { params.limit } }"),
        ("{{ params.limit }}}", "5}"),
        ("}} {", "}} {"),
    ],
)
def test_render(template: str, value: object) -> None:
    found = render(template, SCOPE)
    assert found == value
    assert type(found) is type(value)


def test_render_goes_into_lists_and_dicts_and_keeps_the_rest() -> None:
    value = {"a": ["{{ params.limit }}", ("x{{ params.limit }}",)], "{{ key }}": {1: "{{ run.date }}"}, "n": 7}
    assert render(value, SCOPE) == {"a": [5, ("x5",)], "{{ key }}": {1: date(2026, 1, 31)}, "n": 7}


def test_what_came_from_outside_is_not_rendered_again() -> None:
    assert render("{{ tasks.clean.outputs.evil }}", SCOPE) == "{{ env('HOME') }}"
    assert render("x {{ tasks.clean.outputs.evil }}", SCOPE) == "x {{ env('HOME') }}"


@pytest.mark.parametrize(
    ("template", "offset"),
    [
        ("{{ params.limit", 0),
        ("abc {{ params.limit }", 4),
        ("a {{ 1 }} b {{", 12),
        ("{{ don't }}", 0),
        ("a {{ }}", 4),
        ("a {{ 1 + }}", 5),
        ("a {{ unknown }}", 5),
        ("ěě {{ 1 }} {{ unknown }}", 14),
        ("{{ {{ params.limit }} }}", 4),
    ],
)
def test_wrong_templates_say_where(template: str, offset: int) -> None:
    with pytest.raises(ExprError) as caught:
        parse_template(template)
    assert caught.value.offset == offset
    with pytest.raises(ExprError):
        references({"x": [template]})
    with pytest.raises(ExprError):
        render([template], SCOPE)


def test_no_value_says_where_in_the_whole_text() -> None:
    with pytest.raises(ExprError, match="no parameter 'x'") as caught:
        render("date {{ run.date }}, {{ params.x }}", SCOPE)
    assert caught.value.offset == 24


def test_a_text_that_grows_without_end_is_refused() -> None:
    scope = {"params": {"x": "y" * 150_000}}
    with pytest.raises(ExprError, match="more than"):
        render("{{ params.x }}{{ params.x }}", scope)


def test_many_quotes_take_no_exponential_time() -> None:
    for text in ("{{ " + "'a' " * 30_000, "{{ " + "\\'" * 30_000, "{{ '" + "}" * 30_000, '{{ "\'" ' * 5_000):
        with pytest.raises(ExprError):
            parse_template(text)


@pytest.mark.parametrize("text", ["'a' * 1000000000", "params.x or 9 * 'a' * 1000000000", "1 / 0", "[1 + 'a']"])
def test_constants_that_have_no_value_are_refused_where_they_are_read(text: str) -> None:
    with pytest.raises(ExprError):
        parse_expression(text)
    with pytest.raises(ExprError):
        parse_template("{{ " + text + " }}")


def test_when_has_no_braces() -> None:
    with pytest.raises(ExprError, match="without") as caught:
        parse_expression("{{ params.limit > 3 }}")
    assert caught.value.hint == "leave {{ and }} out"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{{ x", True),
        (["a", {"b": ("{{ 1 }}",)}], True),
        ({"{{ x }}": "a"}, False),
        ("{x}", False),
        (5, False),
        (None, False),
        (date(2026, 1, 1), False),
    ],
)
def test_is_template(value: object, found: bool) -> None:
    assert is_template(value) is found


def test_references_of_everything() -> None:
    value = {
        "a": "{{ params.limit }} {{ params['x-y'] }}",
        "b": ["{{ tasks.clean.outputs.info.rows[matrix.n] }}", ("{{ item }}",)],
        "c": "{{ days_ago(params.n) }} {{ env('HOME') if run.id else None }}",
        "{{ not.a.template }}": 5,
    }
    expected = {
        ("params", "limit"),
        ("params", "x-y"),
        ("params", "n"),
        ("tasks", "clean", "outputs", "info"),
        ("matrix", "n"),
        ("item",),
        ("run", "date"),
        ("run", "id"),
        ("env", "HOME"),
    }
    assert references(value) == expected
    assert references(parse_expression("params.a in [params.b]")) == {("params", "a"), ("params", "b")}
    assert references(parse_template("{{ item }}")) == {("item",)}
    assert references(None) == frozenset()


ALLOWED = Allowed(
    params=frozenset({"limit", "region"}),
    upstreams=frozenset({"clean", "clean-up"}),
    tasks=frozenset({"clean", "clean-up", "load", "report"}),
    matrix=frozenset({"model"}),
    item=False,
    secret_env=frozenset({"DB_URL"}),
)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("params.limt", "params.limt: there is no parameter 'limt'", 'did you mean "limit"?'),
        ("params.Limit", "params.Limit: there is no parameter 'Limit'", 'did you mean "limit"?'),
        ("tasks.load.outputs.x", "tasks.load is not upstream of this task", 'add "load" to needs'),
        ("tasks.claen.outputs.x", "tasks.claen: there is no task 'claen'", 'did you mean "clean"?'),
        ("matrix.modle", "matrix.modle: there is no axis 'modle'", 'did you mean "model"?'),
        ("item", "item has a value only in `params` and `when` of a task with for_each", None),
        ("env('DB_URL')", "env('DB_URL') is a secret, which expressions never see", "pass it with secrets = { ... }"),
    ],
)
def test_names_that_have_no_value_here(text: str, message: str, hint: str | None) -> None:
    assert check_references(references(parse_expression(text)), ALLOWED) == [(message, hint)]


def test_names_that_have_a_value_here() -> None:
    text = "[params.limit, tasks['clean-up'].outputs.x, matrix.model, run.id, days_ago(1), env('HOME')]"
    assert check_references(references(parse_expression(text)), ALLOWED) == []
    assert check_references(frozenset({("item",)}), Allowed(item=True)) == []


def test_all_names_are_reported_in_one_order() -> None:
    found = check_references(references("{{ params.b }}{{ params.a }}{{ item }}"), Allowed())
    assert [message.split(":")[0].split(" ")[0] for message, _ in found] == ["item", "params.a", "params.b"]
    assert found[1][1] == "there are no parameters"


def test_the_run_may_be_out_of_reach() -> None:
    [(message, _)] = check_references(references("{{ days_ago(1) }}"), Allowed(run=False))
    assert message == "run.date has no value here"


@given(st.text(max_size=80) | st.text("{}'\" params.limit\\", max_size=60))
def test_any_text_renders_or_is_refused(text: str) -> None:
    """Text without `{{` comes back as it is; with it there is a value or an ExprError, and nothing else."""
    try:
        found = render(text, SCOPE)
    except ExprError:
        assert "{{" in text
    else:
        assert "{{" in text or found == text


@given(st.lists(st.text(max_size=10).filter(lambda part: "{" not in part), min_size=2, max_size=5))
def test_text_around_expressions_is_kept(parts: list[str]) -> None:
    assert render("{{ 1 }}".join(parts), SCOPE) == ("1".join(parts) if any(parts) or len(parts) > 2 else 1)
