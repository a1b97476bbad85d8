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

from nbflow.asked import Request
from nbflow.core.spec import Pipeline, ProjectSpec
from nbflow.core.status import RunStatus, TaskState
from nbflow.errors import ConfigError, ConflictError, Problem
from nbflow.lookup import find_pipeline, find_task

if TYPE_CHECKING:
    from nbflow.archiving import Archiving
    from nbflow.config.check import Checked
    from nbflow.core.events import RunCreated
    from nbflow.core.messages import Message
    from nbflow.core.plan import Plan
    from nbflow.core.ports import Executor, Listener, Store
    from nbflow.core.retention import Retention
    from nbflow.core.rows import RunRow
    from nbflow.core.state import RunState
    from nbflow.engine.loop import Ports, Seal
    from nbflow.execution import Attach
    from nbflow.pruning import Pruning
    from nbflow.results import RunResult
    from nbflow.runs import Runs

FILE = "pipelines.toml"

TEST = "test"
"""The trigger of what is not recorded as a run."""

TESTS_FOLDER = ".nbflow/tests"
"""Below the archive root: what `nbflow test` leaves."""


class Project:
    """A folder with `pipelines.toml`: its pipelines, its runs, its archive.

    `spec` is what the file says; `rescued` are the runs that were found with their process dead, and have been ended as
    interrupted. Use it as a context manager, or call `close`.
    """

    def __init__(self, spec: ProjectSpec, path: Path) -> None:
        self.spec = spec
        self.rescued: list[str] = []
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

        return Runs(self._store, is_alive, self.archiving.mark)

    def validate(self) -> list[Problem]:
        """Everything that is wrong with the file and its notebooks; warnings are marked as such."""
        return list(self._check().problems)

    def plan(self, pipeline: str, request: Request | None = None) -> Plan:
        """What a run would do, and why. Raises ConfigError, NotFoundError, UsageError; changes nothing."""
        return self._make(self.pipeline(pipeline), request).plan

    def create(self, pipeline: str, request: Request | None = None) -> str:
        """Make a run that waits to be carried out by `execute`, and return its id.

        Raises as `run` does.
        """
        return self._create(self.pipeline(pipeline), request).run

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
        archive or the store cannot be written; in these cases nothing has run.
        """
        from nbflow.preparation import loading

        declared, asked = self.pipeline(pipeline), request or Request()
        asked = replace(asked, params={**asked.params, **(params or {})})
        store = self._store  # a project whose store cannot be used has nothing to load
        with loading(asked.executor, self.spec.root) as executor:
            self.archiving.ahead()
            created = self._create(declared, asked, executor)
            ports = self._ports(store, executor, listeners, self._seal)
            result = self._go_on(self.runs.find(created.run), [], ports, attach)
        return self.archiving.finish(result, wait=attach is None)

    def execute(
        self,
        run: str,
        *,
        resume: bool = False,
        executor: str = "local",
        listeners: Sequence[Listener] = (),
        attach: Attach | None = None,
    ) -> RunResult:
        """Carry a run out to its end; with `resume`, what did not succeed is given another chance.

        A run that has succeeded has nothing to resume and is left as it is. Raises ConflictError where another
        process is at it.
        """
        from nbflow.core.messages import Resume
        from nbflow.core.owners import describe
        from nbflow.core.plan import to_run
        from nbflow.preparation import loading, prepare

        self.archiving.check()
        row = self.runs.find(run)
        if row.run in self.rescued:
            self.rescued.remove(row.run)  # it goes on
        if row.owner is not None and self.runs.is_held(row):
            raise ConflictError(
                f"run {row.run} is going on in {describe(row.owner)}", hint=f"watch it with: nbflow logs -f {row.run}"
            )
        if resume and row.state == RunStatus.SUCCEEDED:
            self.seal(row.run)  # its process may have died when the page was all that was missing
            return self.runs.document(row)
        with loading(executor, self.spec.root) as made:
            tasks = self.runs.state(row).tasks.values()
            prepare(made, to_run(task.planned for task in tasks if task.state is not TaskState.SUCCEEDED), self.spec)
            ports = self._ports(self._store, made, listeners, self._seal)
            result = self._go_on(row, [Resume()] if resume else [], ports, attach)
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
        from nbflow.archive.files import FileArchive
        from nbflow.core.messages import Start
        from nbflow.core.state import fold
        from nbflow.execution import carry_out, drop_journals, record
        from nbflow.preparation import loading
        from nbflow.request import once, only, relative
        from nbflow.store.memory import MemoryStore

        declared = find_task(self.pipeline(pipeline), task)
        asked = replace(request or Request(), select=[declared], trigger=TEST)
        with loading(asked.executor, self.spec.root) as executor:
            created = self._make(self.pipeline(pipeline), asked, executor)
            plan = once(created.plan if task == declared else only(created.plan, task))
            place = f"{relative(self.spec.local, self.spec.root)}/{TESTS_FOLDER}"
            settings = replace(created.settings, outputs=place, spool=None, folder=pipeline)
            created = replace(created, plan=plan, settings=settings)
            FileArchive(Path(self.spec.local, TESTS_FOLDER)).check()
            store = MemoryStore()
            record(created, store)
            state = fold(store.events(created.run))
            fence = store.claim(created.run, "test", lambda _: False)
            ports = self._ports(store, executor, listeners, drop_journals)
            return carry_out(state, fence, [Start(owner="test")], ports, attach)

    def cancel(self, run: str, *, by: str, force: bool = False) -> str:
        """Ask the engine that has a run to stop it, and return the run's id.

        A run that nobody carries out is ended here. Raises ConflictError for one that has ended, unless it is one of
        `rescued`.
        """
        from nbflow.core.messages import Cancel, StopMode

        row = self.runs.find(run)
        if row.run in self.rescued:
            return row.run
        if row.state not in (RunStatus.QUEUED, RunStatus.RUNNING):
            raise ConflictError(f"run {row.run} is not going on: it is {row.state}")
        request = Cancel(mode=StopMode.CANCEL, by=by, force=force)
        if self.runs.is_held(row):
            self._store.post(row.run, request)
        else:
            self._go_on(row, [request], self._ports_alone(), None)
        return row.run

    def seal(self, run: str) -> Path:
        """The page of a run that has ended; what is missing of its archive is completed.

        A run whose process has died is ended here as interrupted, with the notebooks as far as they came. Raises
        ConflictError for one that is going on.
        """
        from nbflow.archive import layout
        from nbflow.archive.seal import is_sealed
        from nbflow.rescue import end

        row = self.runs.find(run)
        self.archiving.fetcher.page(row, self.runs)
        if any(one.run == row.run for one in self.runs.dead()):
            if end(row, self.runs, self._ports_alone()):
                self.rescued.append(row.run)
            row = self.runs.find(row.run)
        if row.state in (RunStatus.QUEUED, RunStatus.RUNNING):
            raise ConflictError(f"run {row.run} has not ended: there is no report of it yet")
        if not is_sealed(layout.run_folder(row.pipeline, row.run), row.document["ended"], self.archiving.files):
            self._seal(self.runs.state(row))
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

        return prune(self, rule, agree=agree, orphans=orphans)

    def _rescue(self, rows: Sequence[RunRow]) -> None:
        """End runs whose process has died, as far as that can be done now; what cannot be written is only shown."""
        from nbflow.rescue import end_dead

        self.rescued += end_dead(rows, self.runs, self._ports_alone, self.archiving.files.check)

    def _go_on(self, row: RunRow, messages: Sequence[Message], ports: Ports, attach: Attach | None) -> RunResult:
        """Own a run, settle what an earlier owner left behind, and carry it out from some messages to its end."""
        from nbflow.core.messages import Resume, Start
        from nbflow.engine.owner import is_alive, this_process
        from nbflow.engine.recovery import recover
        from nbflow.execution import carry_out, released

        store, owner = ports.store, this_process()
        fence = store.claim(row.run, owner, is_alive)
        with released(store, row.run, fence):
            state = self.runs.state(row)
            if any(isinstance(message, Resume) for message in messages):
                store.take(row.run)  # what was asked of the run before is not meant for its new life
            ports = replace(ports, listeners=(*ports.listeners, *self.archiving.sender.feeds(state)))
            self.archiving.sender.catch_up(self.runs)
            self.archiving.fetcher.restore(state)
            first = [*recover(state, ports.executor), *messages, Start(owner=owner)]
            return carry_out(state, fence, first, ports, attach)

    def _check(self) -> Checked:
        """The project as it is now: the notebooks may have been edited since the last look."""
        from nbflow.config.check import check

        return check(self._path, profile=self.spec.profile)

    @cached_property
    def archiving(self) -> Archiving:
        """Where notebooks and pages are kept."""
        from nbflow.archiving import Archiving

        return Archiving(self.spec)

    @property
    def _store(self) -> Store:
        """The project's store; its file is made with the first run."""
        if self._opened is None:
            from nbflow.store.opening import open_store

            self._opened = open_store(self.spec.state)
            if dead := self.runs.dead():
                self._rescue(dead)
        return self._opened

    def _create(self, pipeline: Pipeline, request: Request | None, executor: Executor | None = None) -> RunCreated:
        """Make a run and keep it."""
        created = self._make(pipeline, request, executor)
        from nbflow.execution import record  # not before the kernels have been told of

        self.archiving.check()
        record(created, self._store)
        return created

    def _make(self, pipeline: Pipeline, request: Request | None, executor: Executor | None = None) -> RunCreated:
        """A run as it would be made now; `executor` begins to load what it needs.

        Raises ConfigError, NotFoundError and UsageError.
        """
        from nbflow.config.check import judge, read
        from nbflow.preparation import prepare

        what, asked = read(self._path, profile=self.spec.profile), request or Request()
        is_known = what.is_whole and not asked.select and not asked.exclude
        if executor is not None and is_known:  # all tasks will run: the earlier their kernels load, the better
            prepare(executor, pipeline.tasks.values(), self.spec, what.notebooks)
        # While these load.
        from nbflow.core.plan import Source, to_run
        from nbflow.engine.clock import SystemClock
        from nbflow.engine.facts import gather
        from nbflow.request import History, likeness, make_basis, make_run, plan_run

        checked = judge(what)
        faults = [problem for problem in checked.problems if not problem.warning and _concerns(problem, pipeline)]
        if faults:
            raise ConfigError(faults)
        runs = self.runs
        basis = make_basis(self.spec, pipeline, asked, SystemClock().now())
        like = None if asked.trigger == TEST else likeness(self.spec, pipeline, asked, basis)
        history = History(
            past=lambda one: runs.past(pipeline.name, one.name, like, is_list=one.is_list),
            previous=lambda: runs.previous(pipeline.name),
            seconds=lambda: runs.durations(pipeline.name),
        )
        sources = {
            name: Source(accepts=tuple(contract.declared), sha256=checked.notebooks[name].sha256)
            for name, contract in checked.contracts.items()
        }
        plan = plan_run(pipeline, asked, sources, history)
        if executor is not None and not is_known:
            prepare(executor, to_run(plan.tasks), self.spec, what.notebooks)
        return make_run(self.spec, pipeline, asked, basis, plan, facts=gather(self.spec.root))

    def _ports(self, store: Store, executor: Executor, listeners: Sequence[Listener], seal: Seal) -> Ports:
        from nbflow.engine.clock import SystemClock
        from nbflow.engine.loop import Ports
        from nbflow.preparation import ahead_of_the_page

        listeners = (ahead_of_the_page(), *listeners)
        return Ports(
            store=store,
            executor=executor,
            clock=SystemClock(),
            seal=seal,
            listeners=listeners,
            rescue=lambda held_by: self._rescue([row for row in self.runs.dead() if row.run in held_by]),
            probe=self.archiving.check,
        )

    def _ports_alone(self) -> Ports:
        """What an engine needs to end a run that nobody watches."""
        from nbflow import plugins

        executor: Executor = plugins.factory(plugins.EXECUTORS, "local")()
        return self._ports(self._store, executor, (), self._seal)

    def _seal(self, state: RunState) -> None:
        from nbflow.archive.seal import seal
        from nbflow.execution import drop_journals

        self.archiving.files.sweep(state.created.settings.folder)  # what workers that were killed had half written
        drop_journals(state)  # before the page: where that is, nothing is left to be done
        seal(state, self.archiving.for_sealing(state.run))


def _concerns(problem: Problem, pipeline: Pipeline) -> bool:
    """Whether a problem stands in the way of a pipeline: those of other pipelines' tasks do not."""
    return not problem.key.startswith("pipelines.") or problem.key.startswith(f"pipelines.{pipeline.name}.")
