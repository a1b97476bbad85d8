"""Names that source assigns and reads in its module."""

from __future__ import annotations

import ast

import pytest

from nbflow.core.names import names_of


def of(source: str) -> tuple[str, str, str]:
    found = names_of(ast.parse(source).body)
    return " ".join(found.assigned), " ".join(sorted(found.refined)), " ".join(found.free)


@pytest.mark.parametrize(
    ("source", "assigned", "refined", "free"),
    [
        ("x = 1", "x", "", ""),
        ("x = y", "x", "", "y"),
        ("x = x.lower()", "x", "x", "x"),
        ("x += 1", "x", "x", "x"),
        ("x += y", "x", "x", "x y"),
        ("x = 1\ny = x", "x y", "", ""),
        ("x: int = y", "x", "", "y"),
        ("x: int", "", "", ""),
        ("a, (b, *c) = d", "a b c", "", "d"),
        ("a, b = b, a", "a b", "a b", "b a"),
        ("x.a = 1", "", "", "x"),
        ("x[i] = 1", "", "", "x i"),
        ("x[0] += 1", "", "", "x"),
        ("for x in y:\n    z = x", "x z", "", "y"),
        ("while x:\n    x = x - 1", "x", "x", "x"),
        ("with a as b, c as (d, e): pass", "b d e", "", "a c"),
        ("if x: y = 1\nelse: z = 2", "y z", "", "x"),
        ("try: pass\nexcept E as e: x = e\nfinally: y = 1", "e x y", "", "E"),
        (
            "match x:\n    case [a, *b]: pass\n    case {'k': c, **d}: pass\n    case f as g: pass",
            "a b c d g f",
            "",
            "x",
        ),
        ("import a.b\nimport c.d as e\nfrom f import g, h as i", "a e g i", "", ""),
        ("del x", "", "", ""),
        ("print(y := x)", "y", "", "print x"),
        ("def f(a, b=c):\n    global d\n    d = e\n    return a", "f", "", "c"),
        ("@deco\nasync def f(*, a=b): x = 1", "f", "", "deco b"),
        ("class C(B, metaclass=M):\n    x = y\n    z = x", "C", "", "B M y"),
        ("f = lambda a, b=c: a + d", "f", "", "c"),
        ("x = [a for a in b if a > c]", "x", "", "b c"),
        ("x = {a: d for a, d in b}", "x", "", "b"),
        ("x = {a for a in b for e in a}", "x", "", "b"),
        ("x = sum(x for x in y)", "x", "", "sum y"),
        ("x = [x for x in x]", "x", "x", "x"),
    ],
)
def test_names(source: str, assigned: str, refined: str, free: str) -> None:
    assert of(source) == (assigned, refined, free)


def test_nesting_without_end_has_no_names() -> None:
    body = ast.parse("x = 1").body
    deep: ast.expr = ast.Name("y", ast.Load())
    for _ in range(5_000):
        deep = ast.UnaryOp(ast.Not(), deep)
    found = names_of([*body, ast.Expr(deep)])
    assert not found.assigned
