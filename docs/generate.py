"""Make the reference from the code: `python docs/generate.py` writes, `--check` compares (tests do).

Each page is a pure function of the package; nothing here is written by hand twice.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from nbflow.cli.main import cli
from nbflow.config.schema import schema
from nbflow.core import events, status
from nbflow.project import Project
from nbflow.request import Request
from nbflow.results import RunResult
from nbflow.runs import Runs

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- made by docs/generate.py: change the code, not this page -->\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or say which differ from the code."""
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, NOTE + make()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, "utf-8")
    print(f"{len(stale)} of {len(PAGES)} pages {'are out of date' if '--check' in arguments else 'written'}:", *stale)
    return 1 if stale and "--check" in arguments else 0


def command_line() -> str:
    """Every command with its options, from click's own data."""
    context = click.Context(cli, info_name="nbflow")
    parts = ["# Command line\n", "```text", cli.get_help(context), "```\n"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        parts += [f"## `nbflow {name}`\n", "```text", command.get_help(inner), "```\n"]
    return "\n".join(parts)


def keys() -> str:
    """Every key of `pipelines.toml`, from its JSON Schema."""
    whole = schema()
    parts = [
        "# Keys of `pipelines.toml`\n",
        "The same as `nbflow schema` prints, for people. Tables with names of yours are written `[pipelines.NAME]`.\n",
    ]
    for title, properties in _tables(whole):
        parts += [f"## {title}\n", "| key | type | meaning |", "|---|---|---|"]
        parts += [
            f"| `{name}` | {_type(whole, one)} | {_cell(one.get('description', ''))} |" for name, one in properties
        ]
        parts.append("")
    return "\n".join(parts)


def _tables(whole: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    for name, one in whole["properties"].items():
        table = _resolve(whole, one)
        if "properties" in table:
            yield f"`[{name}]`", list(table["properties"].items())
    for name, one in whole.get("$defs", {}).items():
        if "properties" in one:
            yield one.get("title", name), list(one["properties"].items())


def _resolve(whole: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in one:
        found: Mapping[str, Any] = whole["$defs"][one["$ref"].rpartition("/")[2]]
        return found
    return one


def _type(whole: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    one = _resolve(whole, one)
    if "enum" in one:
        return " \\| ".join(f"`{value}`" for value in one["enum"])
    if "const" in one:
        return f"`{one['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in one:
            return " or ".join(dict.fromkeys(_type(whole, part) for part in one[several]))
    kind = one.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def event_types() -> str:
    """Every event with its keys, from the dataclasses."""
    parts = [
        "# Events\n",
        "What `run --json`, `resume --json` and `logs --json` print, one object a line. Every event has `seq` (from 1,",
        "without gaps), `at`, `type`, `run` and `task` (null where it is of the run), and the keys below. Keys that do",
        "not apply are null. The last line of `run --json` and `resume --json` is the run document.\n",
    ]
    for name, cls in events.TYPES.items():
        parts += [
            f"## `{name}`\n",
            inspect.cleandoc(cls.__doc__ or ""),
            "",
            "| key | type | default |",
            "|---|---|---|",
        ]
        hints = get_type_hints(cls)
        for field in fields(cls):
            if field.name not in ("task", "run", "plan", "settings"):
                parts.append(f"| `{field.name}` | {_hint(hints[field.name])} | {_default(field)} |")
        parts.append("")
    return "\n".join(parts)


def _hint(hint: Any) -> str:
    text = getattr(hint, "__name__", None) if not get_args(hint) else str(hint)
    return "`" + str(text or hint).replace("typing.", "").replace("nbflow.core.", "").replace("|", "or") + "`"


def _default(field: Any) -> str:
    if field.default is not MISSING:
        return f"`{field.default!r}`"
    return "empty" if field.default_factory is not MISSING else "always given"


def states() -> str:
    """The table of transitions, and a picture of it."""
    lines = ["# States of a task\n", "```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    for event, (sources, target) in status.TRANSITIONS.items():
        lines += [f"    {source} --> {target}: {event}" for source in sorted(sources)]
    lines += ["```\n", "| event | from | to |", "|---|---|---|"]
    for event, (sources, target) in status.TRANSITIONS.items():
        lines.append(f"| `{event}` | {', '.join(f'`{source}`' for source in sorted(sources))} | `{target}` |")
    return "\n".join(lines) + "\n"


def python_api() -> str:
    """The public classes with their methods, from their docstrings."""
    parts = [
        "# Python API\n",
        "```python",
        "import nbflow",
        "",
        'with nbflow.Project.open("pipelines.toml") as project:',
    ]
    parts += ['    result = project.run("sales", params={"region": "eu"})', "    print(result.state, result.exit_code)"]
    parts += ["```\n"]
    for cls in (Project, Request, RunResult, Runs):
        parts += [f"## `{cls.__module__}.{cls.__name__}`\n", inspect.getdoc(cls) or "", ""]
        for name, member in vars(cls).items():
            if name.startswith("_") or not (callable(member) or isinstance(member, classmethod | property)):
                continue
            function = member.fget if isinstance(member, property) else getattr(cls, name)
            parts += [f"### `{name}{_signature(member, function)}`\n", inspect.getdoc(function) or "", ""]
    return "\n".join(parts)


def _signature(member: object, function: Any) -> str:
    if isinstance(member, property):
        return ""
    signature = inspect.signature(function)
    shown = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    return str(signature.replace(parameters=shown)).replace("'", "")


PAGES: dict[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "pipelines-toml.md": keys,
    "events.md": event_types,
    "states.md": states,
    "python-api.md": python_api,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
