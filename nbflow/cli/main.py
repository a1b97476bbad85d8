"""The command `nbflow`: global options, the table of commands, and the one place where a call ends.

A command's module is imported when the command is called, so that `nbflow --version` costs next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from nbflow.cli.failures import INTERRUPTED, fail
from nbflow.cli.output import Output, Outputs
from nbflow.cli.session import FILE, Session
from nbflow.errors import UnreachableError, UsageError
from nbflow.version import __version__

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Project": {
        "init": "nbflow.cli.setup",
        "validate": "nbflow.cli.setup",
        "schema": "nbflow.cli.setup",
        "doctor": "nbflow.cli.setup",
        "prune": "nbflow.cli.prune",
    },
    "Look": {
        "list": "nbflow.cli.look",
        "graph": "nbflow.cli.look",
        "plan": "nbflow.cli.look",
        "runs": "nbflow.cli.history",
        "show": "nbflow.cli.show",
        "explain": "nbflow.cli.history",
        "logs": "nbflow.cli.logs",
        "open": "nbflow.cli.pages",
    },
    "Run": {
        "run": "nbflow.cli.run",
        "test": "nbflow.cli.run",
        "resume": "nbflow.cli.run",
        "cancel": "nbflow.cli.run",
        "report": "nbflow.cli.pages",
    },
}
"""Section of the help -> command -> module; a command is the attribute `NAME_command` of its module."""

MODULES = {name: module for section in SECTIONS.values() for name, module in section.items()}

LATER = (
    *("export", "import", "diff", "grep", "backfill", "assets", "build", "check"),
    *("scheduler", "schedule", "trigger", "pause", "unpause", "ui"),
)
"""Commands that the interface names and this version does not have."""

EPILOG = """\b
Exit codes:
  0  done                       4  conflict: already running, locked
  1  a task failed              5  timed out or cancelled
  2  usage or configuration     6  store, executor, kernel or storage unreachable
  3  no such pipeline, run,     130  interrupted
     or task                    70  a bug of nbflow"""


class Commands(click.Group):
    """The commands by name, imported on demand, listed in sections."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature of click
        """All names, in the order of the sections."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """The command, or None where there is no such."""
        if cmd_name not in MODULES:
            return None
        found: click.Command = getattr(import_module(MODULES[cmd_name]), f"{cmd_name}_command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name. Raises UsageError with the nearest name."""
        name = args[0]
        if name in MODULES or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if name in LATER:
            raise UsageError(f"the command '{name}' is not there yet", hint="see `nbflow --help` for those that are")
        close = get_close_matches(name, MODULES, 1)
        hint = f"did you mean '{close[0]}'?" if close else "see `nbflow --help`"
        raise UsageError(f"there is no command '{name}'", hint=hint)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with one line each, section by section."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                commands = [(name, self.get_command(ctx, name)) for name in section]
                formatter.write_dl(
                    [(name, command.get_short_help_str(100)) for name, command in commands if command is not None]
                )


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().ensure_object(Session).out.line(f"nbflow {__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("-C", "directory", metavar="DIR", help="Work as if started in DIR.")
@click.option("--file", metavar="FILE", help=f"The project's file; default {FILE}.")
@click.option("--profile", metavar="NAME", help="Merge [profiles.NAME] of the file over it.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, directory: str | None, file: str | None, profile: str | None) -> None:
    """Run notebooks as pipelines; every executed notebook is the run's log."""
    session: Session = ctx.obj
    if ctx.invoked_subcommand is None:
        session.out.line(ctx.get_help())
        return
    if directory is not None:
        try:
            os.chdir(directory)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot work in {directory}: {reason}", hint="-C takes an existing folder") from None
    session.file, session.profile = Path(FILE if file is None else file), profile


def call(arguments: Sequence[str]) -> int:
    """Carry out one call and return its exit code. Never raises but for what ends the process."""
    outputs = Outputs.of_process(as_json="--json" in arguments)
    try:
        return _invoke(arguments, Session(outputs))
    except KeyboardInterrupt:
        outputs.last()
        outputs.err.line("interrupted")
        return INTERRUPTED
    except BrokenPipeError as error:
        return 0 if outputs.out.is_closed() else _last_word(error, outputs)
    except OSError as error:
        return _last_word(_lost(outputs.out) or error, outputs)
    except Exception as error:  # noqa: BLE001 - the one place where everything ends
        return _last_word(error, outputs)


def _lost(out: Output) -> UnreachableError | None:
    """What there is to say where standard output takes nothing: click writes its help by itself."""
    try:
        out.see_off()
    except UnreachableError as error:
        return error
    return None


def _last_word(error: Exception, outputs: Outputs) -> int:
    """Tell of an error, also where nobody may be left to read it."""
    outputs.last()
    return fail(error, outputs)


def _invoke(arguments: Sequence[str], session: Session) -> int:
    if "_NBFLOW_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "nbflow", "_NBFLOW_COMPLETE", os.environ["_NBFLOW_COMPLETE"])
    try:
        with cli.make_context("nbflow", list(arguments), obj=session) as context:
            result: Any = cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return result if isinstance(result, int) else 0
