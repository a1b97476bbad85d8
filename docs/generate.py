"""Make the reference from the code: `python docs/generate.py` writes, `--check` compares (tests do).

Each page is a pure function of the package; nothing here is written by hand twice.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import click

from nbflow.asked import Request
from nbflow.cli.main import cli
from nbflow.config.schema import json_schema
from nbflow.core import events, status
from nbflow.core.literals import injected_source, unsupported
from nbflow.core.retention import Retention
from nbflow.project import Project
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
    parts = [
        "# Keys of `pipelines.toml`\n",
        "The same as `nbflow schema` prints, for people. `NAME` is a name of yours. A key that this version knows and",
        "does not carry out yet is marked so; nbflow refuses it with its line. A profile may hold any of these.\n",
    ]
    for title, about, properties in _tables("", json_schema()):
        parts += [
            f"## `[{title}]`\n",
            *([f"{_cell(about)}\n"] if about else []),
            "| key | type | meaning |",
            "|---|---|---|",
        ]
        for name, one in properties:
            parts.append(f"| `{name}` | {_type(one)} | {_cell(one.get('description', ''))} |")
        parts.append("")
    return "\n".join(parts)


def _tables(title: str, one: Mapping[str, Any]) -> Iterator[tuple[str, str, list[tuple[str, Mapping[str, Any]]]]]:
    """Tables below a key, outermost first: their titles, what they are, and the keys that are no tables."""
    properties = one.get("properties", {})
    plain = [(name, part) for name, part in properties.items() if not _is_table(part)]
    if title and plain:
        yield title, one.get("description", ""), plain
    for name, part in properties.items():
        if _is_table(part) and name != "profiles":
            path = f"{title}.{name}" if title else name
            inner = _named(part)
            if inner is None:
                yield from _tables(path, part)
            elif "properties" in inner:
                yield from _tables(f"{path}.NAME", inner)
            else:
                yield path, part.get("description", ""), [("NAME", inner)]


def _is_table(one: Mapping[str, Any]) -> bool:
    return one.get("type") == "object" and ("properties" in one or _named(one) is not None)


def _named(one: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What each entry of a table with names of the user's is; of several forms, the one with keys."""
    inner = one.get("additionalProperties")
    if not isinstance(inner, dict):
        return None
    forms = [form for form in inner.get("anyOf", ()) if "properties" in form]
    return forms[0] if forms else inner


def _type(one: Mapping[str, Any]) -> str:
    if "enum" in one:
        values = (str(value).lower() if isinstance(value, bool) else value for value in one["enum"])
        return " \\| ".join(f"`{value}`" for value in values)
    for several in ("anyOf", "oneOf"):
        if several in one:
            return " or ".join(dict.fromkeys(_type(part) for part in one[several]))
    kind = one.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def event_types() -> str:
    """Every event with its keys, from the dataclasses."""
    parts = [
        "# Events\n",
        "What `run --json`, `resume --json` and `logs -f --json` print, one object a line; `logs --json` has them",
        "in a list. Every event has `seq` (from 1, without gaps), `at`, `type`, `run` and `task` (null where it is of",
        "the run), and the keys below. Keys that do not apply are null. The last line of `run --json` and",
        "`resume --json` is the run document. Where the run could not be brought to an end it is an error document,",
        '`{"error": {"message": ..., "hint": ..., "exit_code": ...}, "run": ...}`, as every command prints with',
        "`--json`; `run` stands there only where a run is known, and faults of files are `problems` in `error`.\n",
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
    """A type as it looks in JSON."""
    if get_origin(hint) is Union or isinstance(hint, UnionType):
        return " or ".join(_hint(part) for part in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " \\| ".join(f"`{value}`" for value in hint)
    names = {str: "text", int: "integer", float: "number", bool: "true or false", datetime: "instant", NoneType: "null"}
    return names.get(hint) or ("list" if get_origin(hint) is tuple else "object")


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
    for cls in (Project, Request, Retention, RunResult, Runs):
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


SAMPLES: tuple[tuple[str, Any], ...] = (
    ("text", 'it\'s "$5" ě'),
    ("int", 5),
    ("a large int", 2**60),
    ("float", 0.1),
    ("nan, inf", [float("nan"), float("inf")]),
    ("bool", True),
    ("none", None),
    ("date", date(2026, 1, 31)),
    ("datetime in UTC", datetime(2026, 1, 31, 6, tzinfo=UTC)),
    ("datetime in a zone", datetime(2026, 1, 31, 6, tzinfo=ZoneInfo("Europe/Prague"))),
    ("datetime without a zone", datetime(2026, 1, 31, 6)),  # noqa: DTZ001
    ("time", time(6, 30)),
    ("timedelta", timedelta(minutes=90)),
    ("Decimal", Decimal("1.10")),
    ("path", PurePosixPath("data/a.csv")),
    ("list", ["a", 5]),
    ("list in a list", [[1], [None]]),
    ("dict", {"a b": 1}),
    ("dict with other keys", {1: "a"}),
    ("tuple", (1, "a")),
    ("set", {1, 2}),
)


def parameters() -> str:
    """What the injected cell says for values of every type, in every language that can be written."""
    parts = [
        "# Parameters in the languages of notebooks\n",
        "Each value is given to a parameter `x`. The cell that nbflow injects says what stands here; where a language",
        "has no exact literal, `nbflow validate` refuses the value and says where it stands, as in `limits[3].max`.\n",
        "| value | " + " | ".join(name for name, _ in _LANGUAGES) + " |",
        "|---" * (len(_LANGUAGES) + 1) + "|",
    ]
    for label, value in SAMPLES:
        parts.append(f"| {label} | " + " | ".join(_literal(value, language) for _, language in _LANGUAGES) + " |")
    return "\n".join(parts) + "\n"


_LANGUAGES = (("Python", "python"), ("R", "r"), ("Julia", "julia"), ("Bash", "bash"))


def _literal(value: Any, language: str) -> str:
    if unsupported(value, language, name="x") is not None:
        return "refused"
    lines = injected_source({"x": value}, language).split("\n")[1:]
    written = "; ".join(line for line in lines if line != "declare +i x")
    return f"`` {_cell(written)} ``" if "`" in written else f"`{_cell(written)}`"


PAGES: dict[str, Callable[[], str]] = {
    "parameters.md": parameters,
    "command-line.md": command_line,
    "pipelines-toml.md": keys,
    "events.md": event_types,
    "states.md": states,
    "python-api.md": python_api,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
