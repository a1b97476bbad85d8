"""What a notebook declares, as the command show prints it: its parameters, its kernel, the tasks that run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.cli.facts import print_facts, shown_value
from nbflow.cli.session import Session
from nbflow.cli.text import Cell, one_line
from nbflow.errors import UsageError

if TYPE_CHECKING:
    from nbflow.core.declarations import Declared


def show_notebook(session: Session, name: str) -> bool:
    """Print the contract of a notebook; false where there is none of that name. Raises UsageError for what is none.

    The name is a path, or the end of that of a notebook which tasks of the project run.
    """
    users = _users(session)
    path = _find(name, users)
    if path is not None:
        _show(session, path, users.get(path.resolve(), []))
    return path is not None


def _find(name: str, users: Mapping[Path, list[str]]) -> Path | None:
    if (path := Path(name)).is_file():
        return path
    found = [notebook for notebook in users if notebook.as_posix().endswith(f"/{name}") and notebook.is_file()]
    return found[0] if len(found) == 1 else None


def _users(session: Session) -> dict[Path, list[str]]:
    """The notebooks of the project, each with the tasks that run it as `pipeline.task`; none where there is no file."""
    found: dict[Path, list[str]] = {}
    if session.file.exists():
        with session.records() as project:
            root = Path(project.spec.root)
            for pipeline in project.spec.pipelines.values():
                for task in pipeline.tasks.values():
                    found.setdefault((root / task.notebook).resolve(), []).append(f"{pipeline.name}.{task.name}")
    return found


def _show(session: Session, path: Path, tasks: list[str]) -> None:
    from nbflow.config.inspection import inspect
    from nbflow.config.notebooks import read_notebook
    from nbflow.core.contract import read_contract, read_imports

    file = read_notebook(path)
    if file.document is None:
        fault = file.problems[0]
        raise UsageError(f"{path}: {fault.message}", hint=fault.hint)
    contract = read_contract(file.document)
    declared = list(contract.declared.values()) or inspect(file.document, contract)
    params = [_document(one) for one in declared]
    imports = list(read_imports(file.document))
    facts = {"kernel": file.kernel, "language": contract.language, "cells": contract.cells}
    out = session.out
    if session.outputs.json:
        more = {"complete": contract.complete, "params": params, "imports": imports, "tasks": tasks}
        out.document({"notebook": session.shown_path(path), **facts, **more, "warnings": list(contract.warnings)})
        return
    kernel = file.kernel or contract.language
    shown = {"kernel": kernel, "cells": str(contract.cells), "imports": ", ".join(imports), "tasks": ", ".join(tasks)}
    print_facts(out, {"notebook": session.shown_path(path), **shown})
    out.line()
    if params:
        out.table(("parameter", "type", "default", "options", "description"), [_row(one) for one in params])
    else:
        out.line("no parameters" if contract.has_cell else "no parameters: no cell is tagged `parameters`")
    if contract.has_cell and not contract.complete:
        out.line(f"there may be more: not all of the parameters cell could be read ({contract.language})")
    for warning in contract.warnings:
        out.line(f"{out.paint('warning:', 'yellow')} {one_line(warning)}")


def _document(param: Declared) -> dict[str, Any]:
    """`computed`: it has a default, which only running the notebook's code would tell."""
    from nbflow.core.values import plain

    return {
        "name": param.name,
        "type": param.type.value,
        "default": plain(param.default) if param.has_default else None,
        "required": param.required,
        "computed": not (param.has_default or param.required),
        "nullable": param.nullable,
        "options": [plain(option) for option in param.options],
        "description": param.description,
    }


def _row(param: Mapping[str, Any]) -> list[Cell | str]:
    default = "required" if param["required"] else "computed" if param["computed"] else shown_value(param["default"])
    kind = f"{param['type']} or none" if param["nullable"] and param["type"] != "any" else param["type"]
    options = ", ".join(shown_value(option) for option in param["options"])
    return [Cell(param["name"], "bold"), kind, default, options, param["description"] or ""]
