"""Which names of the module a piece of Python source assigns and reads, in the order of execution.

Names inside functions, classes and comprehensions are their own. Must not know parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Names:
    """`assigned` in order; `refined` are those whose new value reads the old one (`x = x.lower()`, `x += 1`);
    `free` are read before the source assigns them."""

    assigned: dict[str, None] = field(default_factory=dict)
    refined: set[str] = field(default_factory=set)
    free: dict[str, None] = field(default_factory=dict)


def names_of(body: Iterable[ast.AST]) -> Names:
    """The names of statements or expressions that are executed one after the other; empty where nested too deeply."""
    visitor = _Visitor()
    try:
        for node in body:
            visitor.visit(node)
    except RecursionError:
        return Names()
    return visitor.names


class _Visitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names = Names()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read([node.id])
        elif isinstance(node.ctx, ast.Store):
            self._assign(node.id)

    def _read(self, names: Iterable[str]) -> None:
        self.names.free.update((name, None) for name in names if name not in self.names.assigned)

    def _assign(self, name: str | None) -> None:
        if name is not None:
            self.names.assigned[name] = None

    def visit_Assign(self, node: ast.Assign) -> None:
        self._refine(node.targets, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._refine([node.target], node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._refine([node.target], node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read([node.target.id])
            self.names.refined.add(node.target.id)
        self._refine([node.target], node.value)

    def _refine(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        self.visit(value)
        read = names_of([value]).free
        for target in targets:
            self.visit(target)
            self.names.refined.update(name for name in names_of([target]).assigned if name in read)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        for part in (node.target, *node.body, *node.orelse):
            self.visit(part)

    visit_AsyncFor = visit_For  # noqa: N815 - as ast.NodeVisitor calls it

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self._assign(alias.asname or alias.name.partition(".")[0])

    visit_ImportFrom = visit_Import  # noqa: N815 - as ast.NodeVisitor calls it

    def visit_ExceptHandler(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        self._assign(node.name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_ExceptHandler  # noqa: N815 - as ast.NodeVisitor calls it

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        self._assign(node.rest)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """The body runs when it is called, by then with the parameters set; defaults and decorators run now."""
        for part in (*node.decorator_list, node.args):
            self.visit(part)
        self._assign(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - as ast.NodeVisitor calls it

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self._read(names_of(node.body).free)
        self._assign(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)

    def visit_arguments(self, node: ast.arguments) -> None:
        for default in (*node.defaults, *node.kw_defaults):
            if default is not None:
                self.visit(default)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        inner: list[ast.AST] = []
        for part in node.generators:
            inner += [part.iter, part.target, *part.ifs]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._read(names_of(inner).free)

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815 - as ast.NodeVisitor calls it
