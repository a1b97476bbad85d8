"""Begin a project: the files that `nbflow init` writes. Overwrites nothing but the schema, which is generated."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbflow.config.initial import initial_file
from nbflow.config.schema import json_schema
from nbflow.config.starter import starter_notebooks
from nbflow.errors import ConflictError, UnreachableError, UsageError

FILE = "pipelines.toml"
SCHEMA = ".nbflow.schema.json"


def begin_project(folder: Path) -> list[Path]:
    """Write `pipelines.toml` from the notebooks of a folder, or with two to start from, and say what was written.

    The folder is made where it is missing. Raises ConflictError where there is a project already, UsageError where
    there can be no folder, UnreachableError where it cannot be written.
    """
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = f"#:schema ./{SCHEMA}\n{initial_file(folder)}"
        _write_new(file, text)
        written = [file, *_starters(folder, tomllib.loads(text))]
        (folder / SCHEMA).write_text(schema_text(), "utf-8")
    except FileExistsError as error:
        if file.exists():
            raise ConflictError(f"{file} is there already", hint="edit it, or name another folder") from None
        raise UsageError(f"{error.filename} is not a folder") from None
    except NotADirectoryError as error:
        raise UsageError(f"{error.filename} is not in a folder") from None
    except OSError as error:
        raise UnreachableError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return [*written, folder / SCHEMA]


def schema_text() -> str:
    """The JSON Schema of `pipelines.toml` as a file holds it."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _starters(folder: Path, document: dict[str, Any]) -> Iterator[Path]:
    """Write those of the notebooks to start from that the file names and that are not there."""
    missing = {name for name in _notebooks(document) if not any(_places(folder, name))}
    for name, notebook in starter_notebooks().items():
        path = folder / name
        if path.name in missing:
            path.parent.mkdir(exist_ok=True)
            _write_new(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
            yield path


def _notebooks(document: dict[str, Any]) -> Iterator[str]:
    for pipeline in document["pipelines"].values():
        for task in pipeline["tasks"].values():
            yield task["notebook"]


def _places(folder: Path, name: str) -> Iterator[Path]:
    return (place / name for place in (folder, folder / "notebooks") if (place / name).exists())


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
