"""The composition root and the Python API: `Project.open("pipelines.toml").run("sales", params={...})`.

Here the adapters meet the core. The command line, and later the web page and the form, use nothing else.
Heavy imports are inside methods, so that looking at a project costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nbflow import faultpoints
from nbflow.archive import layout
from nbflow.aside import Tell, unheard
from nbflow.asked import Request
from nbflow.core.spec import Pipeline, ProjectSpec
from nbflow.core.status import RunStatus
from nbflow.errors import ConfigError, ConflictError, NotFoundError, Problem, UnreachableError, UsageError
from nbflow.lookup import find_pipeline, find_task

if TYPE_CHECKING:
    from nbflow.archiving import Archiving
    from nbflow.carrying import Carrier
    from nbflow.core.events import RunCreated
    from nbflow.core.plan import Plan
    from nbflow.core.ports import Executor, Listener, Store
    from nbflow.core.retention import Retention
    from nbflow.core.rows import RunRow
    from nbflow.execution import Attach
    from nbflow.pruning import Pruning
    from nbflow.results import RunResult
    from nbflow.runs import Runs

FILE = "pipelines.toml"


class Project:
    """A folder with `pipelines.toml`: its pipelines, its runs, its archive.

    `spec` is what the file says; `rescued` are the runs that were found without their process, and have been ended as
    interrupted, with the cause by their ids, `unrescued` why others of these could not be. Use it as a context manager,
    or call `close`.
    `tell` is given lines for people about storage that keeps them waiting; nobody hears them where it is not set.
    With a `doubt`, archive and store may be others than the file means: what would write there raises it; see `cancel`.
    """

    def __init__(self, spec: ProjectSpec, path: Path, *, doubt: ConfigError | None = None) -> None:
        faultpoints.check()
        self.spec = spec
        self.doubt = doubt
        self.rescued: dict[str, str] = {}
        self.unrescued: dict[str, UnreachableError] = {}
        self.tell: Tell = unheard
        self._path = path
        self._opened: Store | None = None

    @classmethod
    def open(cls, path: str | Path = FILE, *, profile: str | None = None) -> Self:
        """Read a project's file. Raises ConfigError with all its problems, each with its place."""
        from nbflow.config.load import load

        loaded = load(Path(path), profile=profile)
        faults = [problem for problem in loaded.problems if not problem.warning]
        if loaded.spec is None or faults:
            raise ConfigError(faults)
        return cls(loaded.spec, Path(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store. What is not uploaded by then is at the next start."""
        if "archiving" in self.__dict__:
            self.archiving.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def pipeline(self, name: str) -> Pipeline:
        """A pipeline by name. Raises NotFoundError, with the nearest name."""
        return find_pipeline(self.spec, name)

    @property
    def runs(self) -> Runs:
        """The runs so far."""
        from nbflow.engine.owner import is_alive
        from nbflow.runs import Runs

        return Runs(self._open_store(), is_alive, self.archiving.mark)

    def validate(self) -> list[Problem]:
        """Everything that is wrong with the file and its notebooks; warnings are marked as such."""
        from nbflow.config.check import check

        return list(check(self._path, profile=self.spec.profile).problems)

    def plan(self, pipeline: str, request: Request | None = None) -> Plan:
        """What a run would do, and why. Raises ConfigError, NotFoundError, UsageError; changes nothing."""
        return self._make(pipeline, request or Request()).plan

    def create(self, pipeline: str, request: Request | None = None, *, owned: bool = False) -> str:
        """Make a run that waits to be carried out by `execute`, and return its id.

        `owned` is for `nbflow run --detach`: this process has the run until an heir takes it over (`execute`), and
        where it dies before, the run is interrupted. Its lease is not renewed: to other hosts and containers it is dead
        after a minute. Raises as `run` does.
        """
        return self._create(pipeline, request or Request(), owned=owned)[0]

    def run(
        self,
        pipeline: str,
        *,
        params: Mapping[str, Any] | None = None,
        request: Request | None = None,
        listeners: Sequence[Listener] = (),
        attach: Attach | None = None,
    ) -> RunResult:
        """Run a pipeline to its end, here, and return its run document.

        `params` overlay those of `request`. A task's failure is no exception: look at `state`. Raises ConfigError
        where the project has faults, UsageError for parameters that do not fit, UnreachableError where the
        archive or the store cannot be written; in these cases nothing has run. IncompleteError, an UnreachableError,
        has the `document` of a run that has ended, though not all of it could be written.
        """
        from nbflow.preparation import loading

        self.pipeline(pipeline)
        asked = request or Request()
        asked = replace(asked, params={**asked.params, **(params or {})})
        self._open_store()  # a project whose store cannot be used has nothing to load
        with loading(asked.executor, self.spec.root) as executor:
            self.archiving.ahead()
            run, fence = self._create(pipeline, asked, executor, owned=True)
            from nbflow.execution import named  # not before the kernels have been told of

            with named(run):
                carrier = self._carrier
                result = carrier.carry_out(run, fence, [], carrier.ports(executor, listeners), attach)
        return self.archiving.finish(result, wait=attach is None)

    def execute(
        self,
        run: str,
        *,
        resume: bool = False,
        heir_of: str | None = None,
        executor: str = "local",
        listeners: Sequence[Listener] = (),
        attach: Attach | None = None,
    ) -> RunResult:
        """Carry a run out to its end; with `resume`, what did not succeed is given another chance.

        A run that has succeeded has nothing to resume and is left as it is. Raises ConflictError where another
        process is at it, unless that is `heir_of`, which has made the run for this one as `owned`; ConfigError where
        a notebook that would still be run is gone or damaged.
        """
        from nbflow.core.messages import Resume
        from nbflow.core.owners import describe
        from nbflow.execution import named, read_again, still_to_run
        from nbflow.preparation import loading, prepare

        row = self.runs.find(run)
        with named(row.run):
            self.archiving.check(layout.run_folder(row.pipeline, row.run))
            self.rescued.pop(row.run, None)  # it goes on
            if row.owner is not None and row.owner != heir_of and self.runs.is_held(row):
                hint = f"watch it with: nbflow logs -f {row.run}"
                raise ConflictError(f"run {row.run} is going on in {describe(row.owner)}", hint=hint)
            if resume and row.state == RunStatus.SUCCEEDED:
                self.seal(row.run)  # its process may have died when the page was all that was missing
                return self.runs.document(row)
            with loading(executor, self.spec.root) as made:
                state = self.runs.state(row)
                prepare(made, still_to_run(state), self.spec, read_again(state, self.spec.root))
                carrier = self._carrier
                fence, first = carrier.claim(row, heir_of), [Resume()] if resume else []
                result = carrier.carry_out(row.run, fence, first, carrier.ports(made, listeners), attach)
        return self.archiving.finish(result, wait=attach is None)

    def test(
        self,
        pipeline: str,
        task: str,
        request: Request | None = None,
        *,
        listeners: Sequence[Listener] = (),
        attach: Attach | None = None,
    ) -> RunResult:
        """Run one task, or one copy of it, once, with nothing recorded; its notebook lies below `.nbflow/tests`.

        Outputs of other tasks that it reads are those of their newest success. Raises as `run` does, and
        NotFoundError where there is no such task.
        """
        from nbflow.preparation import loading

        declared = find_task(self.pipeline(pipeline), task)
        asked = replace(request or Request(), select=[declared])
        with loading(asked.executor, self.spec.root) as executor:
            created = self._make(pipeline, asked, executor, recorded=False)
            from nbflow.trying import try_out  # not before the kernels have been told of

            return try_out(created, task, self.spec, self._carrier.ports(executor, listeners), attach)

    def cancel(self, run: str, *, by: str, force: bool = False) -> str:
        """Ask the engine that has a run to stop it, and return the run's id.

        A run that nobody carries out is ended here. Raises ConflictError for one that has ended, unless it is one of
        `rescued`. With a `doubt`, only one that is going on and is named by its whole id is stopped: nothing but a
        request in its own store is written for that.
        """
        from nbflow.core.messages import Cancel, StopMode

        row = self._found(run)
        if row.run in self.rescued:
            return row.run
        if row.state not in (RunStatus.QUEUED, RunStatus.RUNNING):
            raise ConflictError(
                f"run {row.run} has already ended: {row.state}", hint="there is nothing left to be stopped"
            )
        request = Cancel(mode=StopMode.CANCEL, by=by, force=force)
        if self.runs.is_held(row):
            self.runs.store.post(row.run, request)
        else:
            self._require_sure()
            self._carrier.cancel(row, request)
        return row.run

    def seal(self, run: str) -> Path:
        """The page of a run that has ended; what is missing of its archive is completed.

        A run whose process has died is ended here as interrupted, with the notebooks as far as they came. Raises
        ConflictError for one that is going on.
        """
        from nbflow.archive.seal import is_sealed

        row = self.runs.find(run)
        self.archiving.fetcher.page(row, self.runs)
        if self.runs.state_of(row) != row.state or any(one.run == row.run for one in self.runs.dead()):
            self._carrier.end(row)
            row = self.runs.find(row.run)
        if row.state in (RunStatus.QUEUED, RunStatus.RUNNING):
            raise ConflictError(f"run {row.run} has not ended: there is no report of it yet")
        if not is_sealed(layout.run_folder(row.pipeline, row.run), row.document["ended"], self.archiving.files):
            self._carrier.seal(self.runs.state(row))
        return self.archiving.page(row.pipeline, row.run)

    def prune(
        self, rule: Retention, *, agree: Callable[[Pruning], bool] | None = None, orphans: bool = False
    ) -> Pruning | None:
        """Take the runs out that a rule means, but for those that are going on or needed, and return what has gone.

        `agree` is asked first, with what would go, whether it may; None where it may not. With `orphans`, the folders
        of runs that the store does not know go too. Raises NotFoundError and UsageError for `rule.runs` as
        `Runs.find`, UnreachableError where the store cannot be written.
        """
        from nbflow.pruning import prune

        self._require_sure()
        return prune(self, rule, agree=agree, orphans=orphans)

    @cached_property
    def archiving(self) -> Archiving:
        """Where notebooks and pages are kept."""
        from nbflow.archiving import Archiving

        return Archiving(self.spec, lambda text: self.tell(text))  # noqa: PLW0108 - it may be set later

    def _open_store(self) -> Store:
        """The project's store; its file is made with the first run. Runs whose process has died are ended now."""
        if self._opened is None:
            from nbflow.store.opening import is_made, open_store

            if not is_made(self.spec.state):
                self._require_sure()  # it may be in another place
            self._opened = open_store(self.spec.state)
            if self.doubt is None and (dead := self.runs.dead()):
                self._carrier.end_dead(dead)
        return self._opened

    def _found(self, run: str) -> RunRow:
        """A run to be written to. Raises as `Runs.find`; with a `doubt`, for all but a whole id that is found."""
        try:
            row = self.runs.find(run)
        except NotFoundError:
            self._require_sure()
            raise
        if self.doubt is not None and row.run != run:
            raise UsageError(
                f"'{run}' may mean another run than {row.run}: {self._path.name} does not tell where the runs are",
                hint=f"mend the file, see `nbflow validate`; or name that one wholly: nbflow cancel {row.run}",
            )
        return row

    def _require_sure(self) -> None:
        if self.doubt is not None:
            raise self.doubt

    @property
    def _carrier(self) -> Carrier:
        """What carries out runs of this project."""
        from nbflow.carrying import Carrier

        self._require_sure()
        return Carrier(self.runs, self.archiving, self.rescued, self.unrescued)

    def _make(
        self, pipeline: str, asked: Request, executor: Executor | None = None, *, recorded: bool = True
    ) -> RunCreated:
        """A run as it would be made now. Raises ConfigError, NotFoundError and UsageError."""
        from nbflow.planning import TEST, make

        asked = asked if recorded else replace(asked, trigger=TEST)
        return make(self.spec, self.pipeline(pipeline), asked, path=self._path, runs=self.runs, executor=executor)

    def _create(
        self, pipeline: str, asked: Request, executor: Executor | None = None, *, owned: bool
    ) -> tuple[str, int]:
        """Make a run and keep it, as one of this process if it is `owned`: its id and fencing number."""
        created = self._make(pipeline, asked, executor)
        from nbflow.engine.owner import this_process  # not before the kernels have been told of
        from nbflow.execution import record

        self.archiving.check(created.settings.folder)
        return created.run, record(created, self._open_store(), this_process() if owned else None)
