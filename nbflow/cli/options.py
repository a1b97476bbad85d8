"""The options that say how a pipeline is to be run, and the `Request` that they come to."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from nbflow.cli.session import Command
from nbflow.errors import UsageError

if TYPE_CHECKING:
    from nbflow.asked import Request

MAX_BYTES = 10_000_000
"""Bytes of a file of parameters."""


class Values(TypedDict):
    """What `value_options` give to a command."""

    param: Sequence[str]
    params_file: Path | None
    logical_date: str | None


class Chosen(TypedDict):
    """What `selection_options` give to a command."""

    select: Sequence[str]
    exclude: Sequence[str]
    force: bool


class Asked(Values, Chosen):
    """Both."""


def value_options(command: Command) -> Command:
    """-p, --params-file, --date: the values of a run."""
    return _all(
        command,
        click.option(
            "-p", "--param", multiple=True, metavar="KEY=VALUE", help="Set a parameter of the pipeline. Repeatable."
        ),
        click.option(
            "--params-file",
            type=click.Path(path_type=Path),
            metavar="F",
            help="Read parameters from a JSON or TOML file; -p goes over it.",
        ),
        click.option(
            "--date",
            "logical_date",
            metavar="D",
            help="The logical date: what the run is for. 2026-01-31, or with a time 2026-01-31T06:00. Default: now.",
        ),
    )


def selection_options(command: Command) -> Command:
    """-s, -x, -F: which tasks run."""
    return _all(
        command,
        click.option(
            "-s",
            "--select",
            multiple=True,
            metavar="SEL",
            help="Run these tasks only: train, +train, train+, tag:nightly, status:failed, state:modified. Repeatable.",
        ),
        click.option("-x", "--exclude", multiple=True, metavar="SEL", help="Leave these tasks out. Repeatable."),
        click.option("-F", "--force", is_flag=True, help="Ignore the cache: run what has not changed, too."),
    )


def carrying_options(command: Command) -> Command:
    """-j, --fail-fast, --executor: how a run is carried out."""
    return _all(
        command,
        click.option(
            "-j",
            "--jobs",
            "parallel",
            type=click.IntRange(min=1),
            metavar="N",
            help="Task runs at once. Default: one per core.",
        ),
        click.option("--fail-fast", is_flag=True, help="Begin nothing new once a task has failed."),
        executor_option,
    )


executor_option = click.option(
    "--executor", default="local", show_default=True, metavar="E", help="Where attempts run."
)


def request_of(
    values: Values,
    chosen: Chosen | None = None,
    *,
    parallel: int | None = None,
    fail_fast: bool = False,
    executor: str = "local",
) -> Request:
    """The request that the options come to. Raises UsageError, naming the offending text."""
    from nbflow.asked import Request

    return Request(
        params=read_params(values["params_file"]) if values["params_file"] is not None else {},
        texts=parse_texts(values["param"]),
        logical_date=parse_date(values["logical_date"]),
        select=() if chosen is None else chosen["select"],
        exclude=() if chosen is None else chosen["exclude"],
        jobs=parallel,
        fail_fast=fail_fast,
        executor=executor,
        trigger="manual",
    )


def parse_texts(given: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping; a value may hold further `=`, and the last of a name counts."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"-p '{text}' is not KEY=VALUE", hint="for example: -p region=eu")
        found[name.strip()] = value
    return found


def parse_date(text: str | None) -> date | datetime | None:
    """A date, or an instant; without an offset it is local time of the project."""
    if text is None:
        return None
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise UsageError(
        f"--date '{text}' is no date", hint="write 2026-01-31, or with a time 2026-01-31T06:00 or 2026-01-31T06:00Z"
    )


def read_params(path: Path) -> dict[str, Any]:
    """The parameters in a file. Raises UsageError with the file and, where there is one, the line."""
    text = _read(path)
    as_json = path.suffix.lower() == ".json" or (path.suffix.lower() != ".toml" and text.lstrip().startswith("{"))
    try:
        found = _from_json(text) if as_json else _from_toml(text)
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply") from None
    except ValueError as error:
        kind = "JSON" if as_json else "TOML"
        raise UsageError(f"{path}: not valid {kind}: {error}", hint="--params-file takes JSON or TOML") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not a table of parameters", hint='write {"region": "eu"} or region = "eu"')
    return found


def _read(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISFIFO(found.st_mode):
            raise UsageError(f"--params-file {path} is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--params-file {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"--params-file {path!r} is no path: {error}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path}: more than {MAX_BYTES // 1_000_000} MB", hint="pass the path of a file as a parameter instead"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None


def _from_json(text: str) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in found:
            if name in made:
                raise ValueError(f"the key {json.dumps(name)} is there twice")
            made[name] = value
        return made

    return json.loads(text, object_pairs_hook=pairs)


def _from_toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text.replace("\r\n", "\n"))


def _all(command: Command, *options: Callable[[Command], Command]) -> Command:
    """A command with options in the order in which they are given."""
    return reduce(lambda made, option: option(made), reversed(options), command)
