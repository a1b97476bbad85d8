"""What is wrong between a specification and its notebooks: parameters, types, kernels. Pure; all faults at once.

Contracts and kernels come in; a notebook that could not be read has no contract and is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbflow.core.contract import Contract, Declared
from nbflow.core.expr import ExprError, Expression, is_template, parse_template, references
from nbflow.core.expr_syntax import DaysAgo, Ref
from nbflow.core.faults import Fault, KeyPath, also_for, did_you_mean
from nbflow.core.items import ITEM
from nbflow.core.literals import unsupported
from nbflow.core.params import check_value, is_name
from nbflow.core.plan import task_references
from nbflow.core.spec import EMPTY, Param, ParamType, Pipeline, ProjectSpec, Task

_RUN_TYPES: Mapping[str, ParamType] = {
    "id": ParamType.STR,
    "date": ParamType.DATE,
    "logical_date": ParamType.DATETIME,
}

_WIDER = {(ParamType.INT, ParamType.FLOAT), (ParamType.STR, ParamType.PATH)}
"""A value of the first type is one of the second too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFacts:
    """A notebook that could be read: its contract, the kernel that its metadata name, warnings about its code."""

    contract: Contract
    kernel: str | None = None
    warnings: tuple[str, ...] = ()


def validate_notebooks(
    spec: ProjectSpec, notebooks: Mapping[str, NotebookFacts], kernels: Mapping[str, str] | None
) -> list[Fault]:
    """All faults between tasks and their notebooks, which come by path as in `Task.notebook`.

    `kernels` maps the name of each installed kernel, in small letters, to its language; None: nobody knows, and
    nothing is said of them.
    """
    faults = [*_kernel_faults(spec, notebooks, kernels), *_preload_faults(spec, kernels)] if kernels is not None else []
    for pipeline in spec.pipelines.values():
        faults += _Pipeline(pipeline, notebooks, kernels or EMPTY).faults()
    return [*faults, *_warnings(spec, notebooks)]


def _tasks(spec: ProjectSpec) -> Iterator[tuple[KeyPath, Task]]:
    for pipeline in spec.pipelines.values():
        for task in pipeline.tasks.values():
            yield ("pipelines", pipeline.name, "tasks", task.name), task


def _warnings(spec: ProjectSpec, notebooks: Mapping[str, NotebookFacts]) -> Iterator[Fault]:
    """What the notebooks' own cells give to think about, once for each notebook."""
    said: set[str] = set()
    for at, task in _tasks(spec):
        if task.notebook in notebooks and task.notebook not in said:
            said.add(task.notebook)
            facts = notebooks[task.notebook]
            for warning in (*facts.contract.warnings, *facts.warnings):
                yield Fault(key=(*at, "notebook"), message=f"{task.notebook}: {warning}", warning=True)


def _kernel_faults(
    spec: ProjectSpec, notebooks: Mapping[str, NotebookFacts], kernels: Mapping[str, str]
) -> Iterator[Fault]:
    """Kernels that are not installed, each once, at the first task that needs it."""
    users: dict[str, list[Fault]] = {}
    installed = ", ".join(sorted(kernels)) or "none"
    for at, task in _tasks(spec):
        if task.notebook not in notebooks:
            continue
        name, key = task.kernel or notebooks[task.notebook].kernel, (*at, "kernel" if task.kernel else "notebook")
        if name is None:
            hint = f'set `kernel = "..."` for the task; installed: {installed}'
            yield Fault(key=key, message=f"{task.notebook} names no kernel", hint=hint)
        elif name.lower() not in kernels:
            message = f'the kernel "{name}" is not installed; installed: {installed}'
            hint = "install it, or name another one for the task" if task.kernel else 'override it: kernel = "..."'
            users.setdefault(name, []).append(Fault(key=key, message=message, hint=hint))
        elif (language := kernels[name.lower()].lower()) != (own := notebooks[task.notebook].contract.language.lower()):
            message = f'the kernel "{name}" runs {language}, and {task.notebook} is written in {own}'
            yield Fault(key=key, message=message, warning=True)
    for faults in users.values():
        yield replace(faults[0], message=faults[0].message + also_for(len(faults) - 1))


def _preload_faults(spec: ProjectSpec, kernels: Mapping[str, str]) -> Iterator[Fault]:
    """Settings of kernels that are not installed."""
    for name in spec.preloads:
        if name.lower() not in kernels:
            hint = did_you_mean(name, kernels, what="installed kernels")
            yield Fault(key=("kernels", name), message="no kernel of this name is installed", hint=hint, on_key=True)


class _Pipeline:
    """One pipeline against its notebooks."""

    def __init__(self, pipeline: Pipeline, notebooks: Mapping[str, NotebookFacts], kernels: Mapping[str, str]) -> None:
        self.pipeline = pipeline
        self.notebooks = notebooks
        self.kernels = kernels
        self.at: KeyPath = ("pipelines", pipeline.name)

    def faults(self) -> list[Fault]:
        found: dict[Fault, None] = {}  # two tasks of one notebook say the same of a parameter of the run
        for task in self.pipeline.tasks.values():
            if facts := self.notebooks.get(task.notebook):
                found.update(dict.fromkeys(self._task(task, facts)))
        return [*found, *self._unused_params()]

    def _task(self, task: Task, facts: NotebookFacts) -> Iterator[Fault]:
        contract, key = facts.contract, (*self.at, "tasks", task.name, "params")
        language = self.kernels.get((task.kernel or facts.kernel or "").lower(), contract.language).lower()
        if task.params and not contract.has_cell:
            hint = "tag the cell that sets the parameters with `parameters`"
            yield Fault(key=key, message=f"{task.notebook} has no `parameters` cell", hint=hint, on_key=True)
            return
        legal = {name: value for name, value in task.params.items() if not is_name(name)}
        for name, value in legal.items():
            for place, one in self._values((*key, name), value, task):
                yield from self._given(place, name, one, task, contract)
                yield from _literal_faults(place, name, one, language)
        yield from self._axes(task, contract, language)
        yield from self._items(task, contract, language)
        axes = task.matrix.axes if task.matrix else () if task.for_each is None else (ITEM,)
        for name, param in self.pipeline.params.items():
            if name in contract.declared and name not in task.params and name not in axes:
                yield from self._run_param(param, contract.declared[name], task.notebook)
                yield from _literal_faults((*self.at, "params", name, "default"), name, param.default, language)
        for name, declared in contract.declared.items():
            if declared.required and not any(name in given for given in (task.params, axes, self.pipeline.params)):
                message = f"{task.notebook} needs a value for `{name}`, and nothing gives it one"
                yield Fault(key=(*key, name), message=message, hint=f"params = {{ {name} = ... }}", on_key=True)

    def _values(self, key: KeyPath, value: Any, task: Task) -> Iterator[tuple[KeyPath, Any]]:
        """The values of a task's parameter and their places: of `{{ matrix.x }}` all those of the axis, of `{{ item }}`
        all items that are known.
        """
        at = (*self.at, "tasks", task.name)
        match _whole(value):
            case ("matrix", axis) if task.matrix is not None and axis in task.matrix.axes:
                yield from (((*at, "matrix", axis, str(n)), one) for n, one in enumerate(task.matrix.axes[axis]))
            case (root,) if root == ITEM and (items := _known_items(task)):
                yield from (((*at, "for_each", str(n)), one) for n, one in items)
            case _:
                yield key, value

    def _given(self, key: KeyPath, name: str, value: Any, task: Task, contract: Contract) -> Iterator[Fault]:
        """A parameter that the task sets."""
        declared = contract.declared.get(name)
        if declared is None and contract.complete:
            key = (*self.at, "tasks", task.name, "params", name)
            hint = did_you_mean(name, contract.declared, what=f"parameters of {task.notebook}")
            message = f"{task.notebook} declares no parameter `{name}`"
            yield Fault(key=key, message=message, hint=hint, on_key=True)
        elif declared is None:
            yield from _value_faults(key, value, Declared(name=name, cell=0, line=1), task.notebook)
        elif not is_template(value):
            yield from _value_faults(key, value, declared, task.notebook)
        else:
            kind = self._template_type(value)
            if kind is not None and not _fits(kind, declared.type):
                message = f"the template gives a {kind.value}, and {_declares(declared, task.notebook)}"
                yield Fault(key=key, message=message)

    def _axes(self, task: Task, contract: Contract, language: str) -> Iterator[Fault]:
        """Axes that go to the notebook by their names, and those that no copy gets to see."""
        read = _names_read(task, "matrix")
        for axis, values in task.matrix.axes.items() if task.matrix else ():
            key = (*self.at, "tasks", task.name, "matrix", axis)
            declared = contract.declared.get(axis)
            if declared is not None and axis not in task.params:
                for index, one in enumerate(values):
                    yield from _value_faults((*key, str(index)), one, declared, task.notebook)
                    yield from _literal_faults((*key, str(index)), axis, one, language)
            elif axis not in read and not is_name(axis):
                message = "neither the notebook nor an expression of the task reads this axis: its copies do the same"
                hint = (
                    f"declare `{axis}` in the notebook's parameters cell, or read {{{{ matrix.{axis} }}}} in `params`"
                )
                yield Fault(key=key, message=message, hint=hint, warning=True, on_key=True)

    def _items(self, task: Task, contract: Contract, language: str) -> Iterator[Fault]:
        """Items that go to the notebook as its parameter `item`, or that no copy gets to see."""
        key, declared = (*self.at, "tasks", task.name, "for_each"), contract.declared.get(ITEM)
        if task.for_each is None:
            return
        if declared is not None and ITEM not in task.params:
            for index, one in _known_items(task):
                yield from _value_faults((*key, str(index)), one, declared, task.notebook)
                yield from _literal_faults((*key, str(index)), ITEM, one, language)
        elif (ITEM,) not in _references(task):
            message = "neither the notebook nor an expression of the task reads `item`: its copies do the same"
            yield Fault(key=key, message=message, hint='params = { file = "{{ item }}" }', warning=True, on_key=True)

    def _run_param(self, param: Param, declared: Declared, notebook: str) -> Iterator[Fault]:
        """A parameter of the run that a notebook declares."""
        key = (*self.at, "params", param.name)
        if not _fits(param.type, declared.type):
            yield Fault(key=key, message=f"the type is {param.type.value}, and {_declares(declared, notebook)}")
        elif not param.required and not is_template(param.default):
            yield from _value_faults((*key, "default"), param.default, declared, notebook)

    def _template_type(self, value: Any) -> ParamType | None:
        """The type of what a template gives, None where that is known only in the run."""
        if not isinstance(value, str):
            return ParamType.LIST if isinstance(value, list) else ParamType.DICT
        try:
            parts = parse_template(value).parts
        except ExprError:
            return None
        match parts:
            case (Expression(root=Ref(path=("params", name))),) if name in self.pipeline.params:
                return self.pipeline.params[name].type
            case (Expression(root=Ref(path=("run", name))),):
                return _RUN_TYPES.get(name)
            case (Expression(root=DaysAgo()),):
                return ParamType.DATE
            case (Expression(),):
                return None
            case _:
                return ParamType.STR

    def _unused_params(self) -> Iterator[Fault]:
        """Parameters of the run that nothing reads, where all is known that might."""
        facts = [self.notebooks.get(task.notebook) for task in self.pipeline.tasks.values()]
        if not facts or not all(one is not None and one.contract.complete for one in facts):
            return
        read = {name for one in facts if one is not None for name in one.contract.declared}
        readers: list[Task | Param] = [*self.pipeline.tasks.values(), *self.pipeline.params.values()]
        read |= {name for reader in readers for name in _names_read(reader, "params")}
        for name in self.pipeline.params:
            if name not in read and not is_name(name):
                message = "no notebook of the pipeline declares this parameter, and no expression reads it"
                yield Fault(key=(*self.at, "params", name), message=message, warning=True, on_key=True)


def _names_read(reader: Task | Param, root: str) -> set[str]:
    """What the expressions of a task, or the default of a parameter, read below a root such as `params`."""
    return {path[1] for path in _references(reader) if path[0] == root}


def _references(reader: Task | Param) -> frozenset[tuple[str, ...]]:
    """All names that the expressions of a task, or the default of a parameter, read."""
    try:
        return references(reader.default) if isinstance(reader, Param) else task_references(reader)
    except ExprError:  # `validate` says so
        return frozenset()


def _whole(value: Any) -> tuple[str, ...] | None:
    """The name that a template is all of; None where it is anything else."""
    if not (isinstance(value, str) and is_template(value)):
        return None
    try:
        parts = parse_template(value).parts
    except ExprError:
        return None
    match parts:
        case (Expression(root=Ref(path=path)),):
            return path
        case _:
            return None


def _known_items(task: Task) -> list[tuple[int, Any]]:
    """The items of a list that stands in the file, with their places, but for templates."""
    items = task.for_each if isinstance(task.for_each, tuple) else ()
    return [(index, item) for index, item in enumerate(items) if not is_template(item)]


def _value_faults(key: KeyPath, value: Any, declared: Declared, notebook: str) -> Iterator[Fault]:
    try:
        check_value(value, declared.type, nullable=declared.nullable, options=declared.options)
    except ValueError as error:
        yield Fault(key=key, message=str(error), hint=_declares(declared, notebook))


def _literal_faults(key: KeyPath, name: str, value: Any, language: str) -> Iterator[Fault]:
    if value is not None and not is_template(value) and (reason := unsupported(value, language, name=name)):
        yield Fault(key=key, message=reason)


def _fits(kind: ParamType, declared: ParamType) -> bool:
    return kind is declared or ParamType.ANY in (kind, declared) or (kind, declared) in _WIDER


def _declares(declared: Declared, notebook: str) -> str:
    return f"{notebook} declares `{declared.name}` as {declared.type.value}"
