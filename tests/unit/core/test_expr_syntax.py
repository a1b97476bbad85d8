"""The white-list of syntax: what is let through, what is refused, and where the message points."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbflow.core.expr_syntax import (
    MAX_DEPTH,
    MAX_LENGTH,
    Binary,
    Choice,
    Compare,
    Const,
    DaysAgo,
    ExprError,
    Index,
    Items,
    Logic,
    Ref,
    Unary,
    operands,
    parse,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("params.limit", ("params", "limit")),
        ('params["limit"]', ("params", "limit")),
        ('params["_private"]', ("params", "_private")),
        ("run.logical_date", ("run", "logical_date")),
        ("matrix.model", ("matrix", "model")),
        ("tasks.clean.outputs.rows", ("tasks", "clean", "outputs", "rows")),
        ("tasks['clean-up'].outputs['max-rows']", ("tasks", "clean-up", "outputs", "max-rows")),
        ("item", ("item",)),
        ('env("HOME")', ("env", "HOME")),
        ("  params.limit\n", ("params", "limit")),
    ],
)
def test_names_outside(text: str, path: tuple[str, ...]) -> None:
    found = parse(text)
    assert isinstance(found, Ref)
    assert found.path == path


def test_links_after_a_reference_look_into_its_value() -> None:
    links = []
    term = parse('tasks.clean.outputs.info.files[0]["name"]')
    while isinstance(term, Index):
        assert isinstance(term.key, Const)
        links.append((term.key.value, term.by_dot))
        term = term.base
    assert links == [("name", False), (0, False), ("files", True)]
    assert term == Ref(0, ("tasks", "clean", "outputs", "info"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1 + 2", Binary),
        ("-params.x", Unary),
        ("not params.x", Unary),
        ("1 < params.x <= 3", Compare),
        ("params.x is not None", Compare),
        ("params.x and params.y or item", Logic),
        ("1 if params.x else 2", Choice),
        ("[1, 'a', (2,)]", Items),
        ("days_ago(params.n)", DaysAgo),
    ],
)
def test_operators(text: str, kind: type) -> None:
    term = parse(text)
    assert isinstance(term, kind)
    assert operands(term)


def refusal(text: str) -> ExprError | None:
    try:
        parse(text)
    except ExprError as error:
        return error
    return None


REFUSED = [
    # S6: what reaches objects, code or memory
    ("().__class__", "'__class__'", None),
    ("params.x.__class__.__mro__", "'__class__'", None),
    ('params["x"]._secret', "'_secret'", None),
    ("params.__class__", "'__class__'", None),
    ("\uff19\uff0bparams\uff0ex", "not an expression", None),
    ("params.\uff3f\uff3fclass\uff3f\uff3f", "not an expression", None),
    ("9**9**9", "`**`", "notebook"),
    ("'a' * 10**9", "`**`", "notebook"),
    ("lambda: 1", "lambda", "notebook"),
    ("[x for x in params.y]", "comprehension", "notebook"),
    ("{x for x in params.y}", "comprehension", "notebook"),
    ("{x: 1 for x in params.y}", "comprehension", "notebook"),
    ("sum(x for x in params.y)", "can be called", None),
    ("(x for x in params.y)", "comprehension", None),
    ("f'{params.x}'", "f-string", "{{ }}"),
    ("(x := 1)", "`:=`", "=="),
    ("[*params.x]", "`*`", None),
    ("open('/etc/passwd')", "can be called", None),
    ("__import__('os')", "can be called", None),
    ("params.x.upper()", "can be called", None),
    ("'{0.__class__}'.format(params)", "can be called", None),
    ("env('A')('b')", "can be called", None),
    ("await params.x", "Await", None),
    ("(yield)", "Yield", None),
    ("params.x[1:2]", "slice", None),
    ("params.x[1:2, 3]", "slice", None),
    ("{1: 2}", "{ }", "parameter"),
    ("{1, 2}", "{ }", "list"),
    ("b'x'", "bytes", None),
    ("...", "ellipsis", None),
    ("1j", "complex", None),
    ("1 << 100", "bits", "and"),
    ("params.x & 1", "bits", "and"),
    ("~params.x", "bits", "not"),
    ("params.x @ params.y", "matrices", None),
    ("params.x is True", "None only", "=="),
    ("9" * 100, "a number may have", None),
    # names
    ("true", "unknown name 'true'", "True"),
    ("null", "unknown name 'null'", "None"),
    ("parms.x", "unknown name 'parms'", "params"),
    ("eu", "unknown name 'eu'", "quotes"),
    ("params", "params is incomplete", "params.NAME"),
    ("tasks.clean", "tasks is incomplete", "outputs"),
    ("tasks.clean.state == 1", "tasks.clean has no 'state'", "outputs"),
    ("tasks.clean-up.outputs.rows", "tasks is incomplete", 'tasks["clean-up"]'),
    ("tasks.clean.output.rows", "tasks.clean has no 'output'", "outputs"),
    ("run.dat", "run has no 'dat'", "date"),
    ("run['__class__']", "run has no '__class__'", None),
    ("params[1]", "quotes", None),
    ("params[item]", "quotes", None),
    ("env", "env is incomplete", 'env("NAME")'),
    ("env.HOME", "env is incomplete", 'env("NAME")'),
    ("env(params.x)", "env() takes one name in quotes", 'env("NAME")'),
    ("env('A', 'B')", "env() takes one name in quotes", None),
    ("env(name='A')", "env() takes one name in quotes", None),
    ("env('A=B')", "no name of an environment variable", None),
    ("days_ago()", "days_ago() takes one number", None),
    ("days_ago(1, 2)", "days_ago() takes one number", None),
    ("days_ago(n=1)", "days_ago() takes one number", None),
    # syntax
    ("", "empty", None),
    (" \n ", "empty", None),
    ("params.x &&", "not an expression", "`and`"),
    ("params.x || 1", "not an expression", "`or`"),
    ("!params.x", "not an expression", "`not`"),
    ("params.x = 1", "not an expression", "`==`"),
    ("params.x ? 1 : 2", "not an expression", "if test else"),
    ("import os", "not an expression", None),
    ("1; import os", "not an expression", None),
    ("1)", "not an expression", None),
    ("a) + (b", "not an expression", None),
    ("'open", "not an expression", None),
    ("1 # comment", "comments", None),
    ("params.x # 1\n + 2", "comments", None),
    ("\0", "not an expression", None),
    ("1\0", "not an expression", None),
    ("params.x" * 500, "2,000 characters", None),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_refused(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ExprError) as caught:
        parse(text)
    assert message.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert 0 <= caught.value.offset <= len(text)
    if hint is not None:
        assert caught.value.hint is not None
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("params.a + unknown", 11),
        ("   unknown", 3),
        ("\n unknown", 2),
        ("'ěščř' + unknown", 9),
        ("'😀' == unknown", 7),
        ("params.a and (lambda: 2)", 14),
        ("params.a == [1, {2}]", 16),
    ],
)
def test_errors_point_at_the_character(text: str, offset: int) -> None:
    with pytest.raises(ExprError) as caught:
        parse(text)
    assert caught.value.offset == offset
    with pytest.raises(ExprError) as shifted:
        parse(text, 100)
    assert shifted.value.offset == 100 + offset


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1900 + "1",
        "not " * 400 + "1",
        "(" * 900 + "1" + ")" * 900,
        "[" * 900 + "]" * 900,
        "1" + "+1" * 900,
        "item" + ".a" * 900,
        "item" + "[0]" * 600,
        "item" + "[item" * 300 + "]" * 300,
        "1 if 1 else " * 150 + "1",
        "days_ago(" * 150 + "1" + ")" * 150,
        "()" + ".a" * 60,
    ],
)
def test_depth_is_limited(text: str) -> None:
    assert len(text) <= MAX_LENGTH
    with pytest.raises(ExprError, match=r"nested|not an expression"):
        parse(text)


def test_depth_below_the_limit_is_fine() -> None:
    assert parse("1" + "+1" * (MAX_DEPTH - 1))
    assert parse("1 in [" + "1," * 600 + "]")


def test_an_odd_escape_in_text_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert parse(r"params.x == '\d'")
    assert not recwarn


@given(st.text(max_size=60) | st.text("params.tk[]()'\"+-*/% <>=!,:_\\{}0123\n#", max_size=60))
@example("\x0c1")
@example("\uff41")
def test_any_text_is_parsed_or_refused_with_one_line(text: str) -> None:
    error = refusal(text)
    assert error is None or (0 <= error.offset <= len(text) and len(str(error).splitlines()) == 1)
