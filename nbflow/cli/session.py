"""What every command gets: where the project is and where to write. And the options that several commands share.

Must stay light: it is imported before it is known which command runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nbflow.cli.output import Output, Outputs
from nbflow.cli.text import one_line
from nbflow.core.database_url import is_database, shown
from nbflow.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from nbflow.project import Project

FILE = "pipelines.toml"

Command = TypeVar("Command", bound=Callable[..., Any])


def _shell_folder() -> Path:
    """The folder where the shell is. Raises UsageError where somebody has removed it."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the folder that this shell is in was removed", hint="go to one that exists, with: cd"
        ) from error


@dataclass(slots=True)
class Session:
    """One call of the command line. `start` is the folder where the shell was, before `-C`."""

    outputs: Outputs
    start: Path = field(default_factory=_shell_folder)
    file: Path = Path(FILE)
    profile: str | None = None
    broken: ConfigError | None = None

    @property
    def out(self) -> Output:
        """Standard output."""
        return self.outputs.out

    @property
    def err(self) -> Output:
        """Standard error."""
        return self.outputs.err

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project, closed at the end. Raises UsageError where there is no file, ConfigError where it is wrong."""
        from nbflow.project import Project

        self.require_file()
        with Project.open(self.file, profile=self.profile) as project, self._told(project):
            yield project

    @contextmanager
    def records(self) -> Iterator[Project]:
        """The project for what has to do with its runs alone: a file that is wrong is no reason to be locked out.

        Then `broken` is what is wrong, and the project has no pipelines. It has no sure place where the file cannot
        tell: its runs can be looked at then and one that goes on can be stopped, and nothing else is written; where
        there are none in the place that is left, using them raises what is wrong. Raises ConfigError for a profile that
        is not there.
        """
        from nbflow.project import Project

        self.require_file()
        try:
            opened = Project.open(self.file, profile=self.profile)
        except ConfigError as error:
            self.broken = error
            opened = self._salvaged(error)
            self._warn_of_mistakes(opened)
        with opened as project, self._told(project):
            yield project

    def _warn_of_mistakes(self, project: Project) -> None:
        from nbflow.store.opening import is_made

        state = project.spec.state
        where = one_line(shown(state) if is_database(state) else self.shown_path(Path(state)))
        whose = f"; the runs are those of {where}" if project.doubt is None or is_made(state) else ""
        self.err.line(f"warning: {self.file} has mistakes, see `nbflow validate`{whose}")

    @contextmanager
    def _told(self, project: Project) -> Iterator[None]:
        """Say what keeps somebody waiting, and in the end what was found on the way: runs without their process."""
        project.tell = lambda text: self.err.line(one_line(text))
        try:
            yield
        finally:
            for run, cause in project.rescued.items():
                self.err.line(interrupted(run, cause))
            for run, error in list(project.unrescued.items())[:1]:
                others = len(project.unrescued) - 1
                more = f" (nor can {others} more)" if others else ""
                text = f"warning: run {run}, whose process has died, cannot be ended now{more}: {error}"
                self.err.line(one_line(text))

    def _salvaged(self, error: ConfigError) -> Project:
        """The project without pipelines: its places as far as the file can be read, else those of the defaults."""
        from nbflow.config.load import load
        from nbflow.core.spec import ProjectSpec
        from nbflow.project import Project

        loaded = load(self.file, profile=self.profile)
        if loaded.lacks_profile:
            raise error
        if loaded.draft is not None:
            doubt = None if loaded.is_sure_of_places else error
            return Project(replace(loaded.draft, pipelines={}), self.file, doubt=doubt)
        root = self.file.absolute().parent
        outputs = str(root / "outputs")
        state = f"{outputs}/.nbflow/state.db"
        spec = ProjectSpec(root=str(root), file=self.file.name, pipelines={}, outputs=outputs, state=state)
        return Project(spec, self.file, doubt=error)

    def require_file(self) -> None:
        """Raise UsageError, with what to do, where there is no project file."""
        if self.file.exists():
            return
        folder = Path.cwd()
        if self.file != Path(FILE):
            raise UsageError(f"there is no file {self.file}", hint="give the path of the project's file with --file")
        # A project above is named, not used: what it says is code, and the folder above may belong to somebody else.
        above = next((parent for parent in folder.parents if (parent / FILE).is_file()), None)
        hint = f"there is one above: nbflow -C {above} ..." if above else "`nbflow init` writes a first one"
        raise UsageError(f"there is no {FILE} in {folder}", hint=hint)

    def shown_file(self, path: Path) -> str:
        """As `shown_path`; empty where there is none, or where nobody may see whether there is."""
        return self.shown_path(path) if os.path.exists(path) else ""  # noqa: PTH110 - Path's own raises PermissionError

    def shown_path(self, path: Path) -> str:
        """A path for people: relative to where the shell is if it lies below, else absolute."""
        whole = path.absolute()
        return str(whole.relative_to(self.start)) if whole.is_relative_to(self.start) else str(whole)


def interrupted(run: str, cause: str) -> str:
    """What is said of a run that was found without its process."""
    return f"run {run} was interrupted: {cause}; go on with: nbflow resume {run}"


pass_session = click.make_pass_decorator(Session)


def json_option(text: str = "Print one JSON document.") -> Callable[[Command], Command]:
    """`--json`; whoever writes looks at `Session.outputs.json`, which is known before the options are read."""
    return click.option("--json", "as_json", is_flag=True, expose_value=False, help=text)
