"""What a run may do, told a second time: naively, from the plan and the events alone.

It shares no code with the state machine: no rule, limit, count or verdict of it is imported here, only the shapes
of events and messages. It is slow and simple on purpose. `batch` takes the events of one append (and, where they
are known, the messages that led to them) and raises `Wrong` with the rule that was broken.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict
from nbflow.core.plan import PlannedTask

BAD = {"failed", "upstream_failed", "cancelled"}
ENDED = {"succeeded", "skipped", *BAD}


class Wrong(AssertionError):
    """Something happened that must not, or did not happen that must."""


class NoValue(Exception):
    """An expression has no value."""


@dataclass
class Task:
    """What the log says of a task. `last` is an outcome that has not been settled yet, `item` that of a copy, as a list
    of one.
    """

    plan: PlannedTask
    item: list[Any] = field(default_factory=list)
    state: str = "pending"
    attempts: int = 0
    tries: int = 0
    started: bool = False
    last: Outcome | None = None
    due: datetime | None = None
    params: Any = None
    outputs: dict[str, Any] = field(default_factory=dict)
    successes: int = 0


def verdict(rule: str, upstream: Sequence[str]) -> str | None:
    """run | skip | block, or None while it is open. `upstream` are states, whether ended or not."""
    ended = [state for state in upstream if state in ENDED]
    early = {"one_success": {"succeeded"}, "one_failed": BAD, "one_done": {"succeeded", "failed"}}.get(rule)
    if not upstream or (early and early & set(ended)):
        return "run"
    if len(ended) < len(upstream):
        return None
    bad, skipped, good = (len([one for one in ended if one in kind]) for kind in (BAD, {"skipped"}, {"succeeded"}))
    blocked = "block" if bad else "skip"
    return {
        "all_success": "run" if good == len(ended) else blocked,
        "all_failed": "run" if bad == len(ended) else "skip",
        "all_done": "run",
        "always": "run",
        "one_success": blocked,
        "one_failed": "skip",
        "one_done": "skip",
        "none_failed": "block" if bad else "run",
        "none_skipped": "skip" if skipped else "run",
    }[rule]


class Empty(SimpleNamespace):
    """The outputs of copies that there are none of."""

    def __getattr__(self, _: str) -> list[Any]:
        return []


def _identities(items: Sequence[Any]) -> list[tuple[str, int]]:
    """Each item with the number of its like up to there."""
    seen: Counter[str] = Counter()
    found = []
    for item in items:
        seen[json.dumps(item)] += 1
        found.append((json.dumps(item), seen[json.dumps(item)]))
    return found


class Oracle:
    """Follows one run. `states()` and `running` are what the log adds up to.

    `seconds`: what tasks took before, None where nobody knows. `shares`: other runs use its pools, so that a task may
    wait for slots that this run does not hold.
    """

    def __init__(
        self, created: ev.RunCreated, seconds: Mapping[str, float] | None = None, *, shares: bool = False
    ) -> None:
        self.created = created
        self.shares = shares
        self.seq = 1
        self.tasks = {one.name: Task(one) for one in created.plan.tasks}
        self.order = list(self.tasks)
        self.judged_by = {name: self._judges(name) for name in self.order}
        self.lists: dict[str, list[str]] = {}
        """Task with `for_each` -> its copies, in the order of its list as it is now."""
        self.made: dict[str, list[str]] = {}
        """The same -> all copies that there ever were."""
        self.stale: set[str] = set()
        self.weight: dict[str, float] = {}
        for name in reversed(self.order):
            below = max((self.weight[one] for one in self._below(name)), default=0)
            takes = self._takes(name, seconds) if seconds is not None else self.tasks[name].plan.weight - below
            self.weight[name] = takes + below
        for one in created.plan.tasks:
            self._must(list(one.waits_for) == self.judged_by[one.name], f"{one.name} waits for {one.waits_for}")
            same = abs(one.weight - self.weight[one.name]) < 1e-6
            self._must(same or one.action != "run", f"{one.name} weighs {one.weight}, not {self.weight[one.name]}")
        self.now = created.logical_date
        self.begun = self.finished = False
        self.limit_from: datetime | None = None
        self.stop: ev.CancelRequested | None = None
        self.first_failure: str | None = None
        self.to_kill: dict[str, bool] = {}
        self.unsettled: str | None = None

    # What the log adds up to

    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.tasks.items()}

    @property
    def running(self) -> list[str]:
        return [name for name, task in self.tasks.items() if task.state == "running" and task.last is None]

    def is_running(self, name: str, attempt: int) -> bool:
        return name in self.running and self.tasks[name].attempts == attempt

    @property
    def stopping(self) -> bool:
        return self.stop is not None or (self.created.settings.fail_fast and self.first_failure is not None)

    @property
    def deadline(self) -> datetime | None:
        seconds = self.created.settings.timeout
        return self.limit_from + timedelta(seconds=seconds) if self.limit_from and seconds is not None else None

    @property
    def wakeup(self) -> datetime | None:
        """When time alone makes something happen."""
        due = [task.due for task in self.tasks.values() if task.state == "retrying" and task.due and not self.stopping]
        due += [self.deadline] if self.deadline and self.stop is None else []
        return min(due, default=None)

    # One append

    def batch(self, events: Sequence[ev.Stamped], now: datetime, messages: Sequence[msg.Message] | None = None) -> None:
        """Check the events that one call of the loop appended (perhaps none) at the instant `now`."""
        self.now = now
        rest = list(events)
        for message in messages or ():
            rest = self._answer(message, rest)
        for stamped in rest:
            if messages is not None and isinstance(
                stamped.event,
                ev.AttemptEnded | ev.AttemptStarted | ev.CellStarted | ev.CellOutput | ev.CellEnded | ev.RunResumed,
            ):
                raise Wrong(f"nobody reported {stamped.event}")
            self._feed(stamped)
        self._nothing_left()

    def _answer(self, message: msg.Message, events: list[ev.Stamped]) -> list[ev.Stamped]:
        """Take what must answer this message directly off the head of the events."""
        head = events[0].event if events else None
        match message:
            case msg.Start():
                expected, count = not self.finished and isinstance(head, ev.RunStarted), 0 if self.finished else 1
            case msg.Resume():
                wanted = any(self._resumable(name) for name in self.tasks) and not self.running
                expected, count = isinstance(head, ev.RunResumed), int(wanted)
            case msg.Cancel():
                wanted = not self.finished and (self.stop is None or (message.force and not self.stop.force))
                expected, count = isinstance(head, ev.CancelRequested), int(wanted) * (1 + len(self.running))
            case msg.Tick():
                return events
            case _:
                return self._answer_report(message, events)
        if count and not expected:
            raise Wrong(f"{message} was answered with {head}")
        return self._take(events, count)

    def _answer_report(self, report: msg.Report, events: list[ev.Stamped]) -> list[ev.Stamped]:
        task = self.tasks.get(report.task)
        if task is None or report.task not in self.running or task.attempts != report.attempt:
            return events
        if isinstance(report, msg.Started):
            return self._take(events, 0 if task.started else 1, "attempt_started", report)
        if isinstance(report, msg.CellStart | msg.CellOutput | msg.CellDone):
            return self._answer_cell(report, events)
        rest = self._take(events, 2, "attempt_ended", report)
        recorded = events[0].event
        if isinstance(recorded, ev.AttemptEnded):
            self._same_outcome(report, recorded.outcome)
        return rest

    def _answer_cell(
        self, report: msg.CellStart | msg.CellOutput | msg.CellDone, events: list[ev.Stamped]
    ) -> list[ev.Stamped]:
        """A cell's report is passed on as it is, and nothing else comes of it."""
        kind = {msg.CellStart: "cell_started", msg.CellOutput: "cell_output", msg.CellDone: "cell_ended"}[type(report)]
        before = self.states()
        rest = self._take(events, 1, kind, report)
        recorded: Any = events[0].event
        said = [name for name in ("cell", "number", "text", "state") if hasattr(report, name)]
        same = all(getattr(recorded, name) == getattr(report, name) for name in said)
        self._must(same, f"{report} was recorded as {recorded}")
        self._must(self.states() == before, f"{report} has changed a state")
        return rest

    def _same_outcome(self, report: msg.Report, recorded: Outcome) -> None:
        """What is recorded is what was reported, but for a worker's `cancelled` that nobody of ours asked for."""
        lost = TaskError(kind=ErrorKind.LOST, message=getattr(report, "message", ""))
        reported = getattr(report, "outcome", Outcome(verdict=Verdict.FAILED, error=lost))
        if reported.verdict != "cancelled" or (self.stop is not None and self.stop.mode != "timeout"):
            self._must(recorded == reported, f"{reported} was recorded as {recorded}")
            return
        kind = "timeout" if self.stop is not None else "lost"
        self._must(recorded.verdict == "failed" and recorded.error is not None, "a stopped worker must have failed")
        self._must(recorded.error is not None and recorded.error.kind == kind, f"it failed by {recorded.error}")

    def _take(
        self, events: list[ev.Stamped], count: int, kind: str | None = None, report: Any = None
    ) -> list[ev.Stamped]:
        if len(events) < count:
            raise Wrong(f"{report or 'a message'} was not answered")
        if kind is not None and count:
            head: Any = events[0].event
            same = ev.type_of(head) == kind and (head.task, head.attempt) == (report.task, report.attempt)
            self._must(same, f"{report} was answered with {head}")
        for stamped in events[:count]:
            self._feed(stamped)
        return events[count:]

    # One event

    def _feed(self, stamped: ev.Stamped) -> None:
        event: Any = stamped.event
        kind = ev.type_of(event)
        self._must(stamped.seq == self.seq + 1, f"event {stamped.seq} follows {self.seq}")
        self._must(stamped.at == self.now, f"{kind} has the time {stamped.at}")
        self.seq = stamped.seq
        settled = ("task_succeeded", "task_failed", "task_cancelled", "retry_scheduled")
        if self.unsettled is not None:
            self._must(kind in settled and event.task == self.unsettled, f"{self.unsettled} had to be settled: {kind}")
        self._must(not self.finished or kind == "run_resumed", f"{kind} after the end")
        getattr(self, f"_{kind}")(event)

    def _run_started(self, event: ev.RunStarted) -> None:
        self.begun = True
        self.limit_from = self.limit_from or self.now

    def _run_resumed(self, event: ev.RunResumed) -> None:
        self._must(not self.running, "resumed while something runs")
        wanted = [name for name in self.order if self._resumable(name)]
        self._must(list(event.tasks) == wanted, f"resumed {event.tasks}, not {wanted}")
        for base, made in self.made.items():
            if set(self.lists[base]) & set(wanted) and self._above(made[0]) & set(wanted):
                self.stale.add(base)
        for name in wanted:
            task = self.tasks[name]
            task.state, task.tries, task.last, task.due = "pending", 0, None, None
        self.stop = self.first_failure = None
        self.finished = False
        self.limit_from = self.now

    def _cancel_requested(self, event: ev.CancelRequested) -> None:
        if self.stop is None and event.mode == "timeout":
            self._must(self.deadline is not None and self.now >= self.deadline, "stopped before its time limit")
        if self.stop is not None:
            self._must(event.mode == self.stop.mode, "the first mode must stay")
            self._must(event.force and not self.stop.force, "asked twice for the same")
        self.stop = event
        self.to_kill = dict.fromkeys(self.running, event.force)

    def _run_finished(self, event: ev.RunFinished) -> None:
        states = set(self.states().values())
        self._must(states <= ENDED, f"finished with {states}")
        if "cancelled" in states and self.stop is not None and self.stop.mode != "timeout":
            wanted = {"cancel": "cancelled", "interrupt": "interrupted"}[self.stop.mode]
        else:
            wanted = "failed" if states & BAD else "succeeded"
        self._must(event.state == wanted, f"finished as {event.state}, not {wanted}")
        self.finished = True

    def _task_queued(self, event: ev.TaskQueued) -> None:
        task = self._begins(event.task, "pending", "retrying")
        if task.state == "retrying":
            self._must(task.due is not None and task.due <= self.now, f"{event.task} is tried again too soon")
            self._must(event.params == task.params, f"{event.task} has other parameters than before")
        else:
            self._must(self._wanted(event.task) == "run", f"{event.task} must not run")
            self._must(event.params == self._params(event.task), f"{event.task} has the parameters {event.params}")
        task.state, task.params = "queued", event.params

    def _task_expanded(self, event: ev.TaskExpanded) -> None:
        base = event.task
        known = {self._identity(name): name for name in self.made.get(base, [])}
        expander = base if base in self.tasks else self._expander(base)
        self._begins(expander, "pending")
        self._must(self._wanted(expander) == "expand", f"{base} must not be expanded")
        items = [copy.values["item"] for copy in event.copies]
        self._must(items == self._items(expander), f"{base} has the items {items}, not {self._items(expander)}")
        names = [copy.name for copy in event.copies]
        for identity, copy in zip(_identities(items), event.copies, strict=True):
            self._must(known.get(identity, copy.name) == copy.name, f"{copy.name} was {known.get(identity)} before")
            self._must((copy.name in self.tasks) == (identity in known), f"{copy.name} is another copy than before")
            self._must(copy.name.startswith(f"{base}[") and copy.name.endswith("]"), f"{copy.name} is no name")
            self._must(re.fullmatch(r"[\w.-]+", copy.slug, re.ASCII) is not None, f"{copy.slug} is no file name")
        slugs = {copy.name: copy.slug.lower() for copy in event.copies}
        slugs |= {name: self.tasks[name].plan.slug.lower() for name in known.values()}
        self._must(len(set(names)) == len(names) and len(set(slugs.values())) == len(slugs), f"doubled: {slugs}")
        self.stale.discard(base)
        if base in self.tasks and not event.copies:
            self.tasks[base].state = "succeeded"
            return
        self._make_copies(base, event.copies, self.tasks[expander].plan)

    def _make_copies(self, base: str, copies: Sequence[Any], plan: PlannedTask) -> None:
        made = self.made.setdefault(base, [])
        place = self.order.index(made[-1]) + 1 if made else self.order.index(base)
        for copy in [copy for copy in copies if copy.name not in self.tasks]:
            made.append(copy.name)
            self.tasks[copy.name] = Task(replace(plan, name=copy.name, slug=copy.slug), item=[copy.values["item"]])
            self.order.insert(place, copy.name)
            self.weight[copy.name], self.judged_by[copy.name] = self.weight[base], self.judged_by[base]
            place += 1
        if base in self.tasks:
            self.order.remove(base)
            del self.tasks[base]
        self.lists[base] = [copy.name for copy in copies]
        for name in self.lists[base]:
            if self.tasks[name].state == "skipped":
                self.tasks[name].state = "pending"

    def _task_skipped(self, event: ev.TaskSkipped) -> None:
        task = self.tasks[event.task]
        self._must(task.state == "pending", f"{event.task} skipped while {task.state}")
        self._must(self._wanted(event.task) in ("skip", "left out"), f"{event.task} must not be skipped")
        self._must(task.plan.action == "skip" or not self.stopping, f"{event.task} skipped in a stop")
        task.state = "skipped"

    def _task_blocked(self, event: ev.TaskBlocked) -> None:
        task = self._begins(event.task, "pending")
        self._must(self._wanted(event.task) == "block", f"{event.task} must not be blocked")
        task.state = "upstream_failed"

    def _task_reused(self, event: ev.TaskReused) -> None:
        task = self.tasks[event.task]
        self._must(task.state == "pending" and task.plan.action == "reuse", f"{event.task} must not be reused")
        self._must((event.reused_from, event.outputs) == (task.plan.reused_from, task.plan.outputs), "reused otherwise")
        task.state, task.outputs = "succeeded", dict(event.outputs)

    def _attempt_submitted(self, event: ev.AttemptSubmitted) -> None:
        task = self._begins(event.task, "queued")
        self._must(event.attempt == task.attempts + 1, f"{event.task}: attempt {event.attempt} follows {task.attempts}")
        self._must(task.successes == 0, f"{event.task} has succeeded and runs again")
        self._must(self._has_room(event.task), f"{event.task} began without room")
        for name, other in self.tasks.items():
            urgent = self._urgency(name) < self._urgency(event.task)
            waits = other.state == "queued" and not self._waits_for_others(name)
            self._must(not (waits and urgent and self._has_room(name)), f"{name} is more urgent")
        task.state, task.attempts, task.tries = "running", event.attempt, task.tries + 1
        task.started, task.last = False, None

    def _attempt_started(self, event: ev.AttemptStarted) -> None:
        task = self._runs(event.task, event.attempt)
        self._must(not task.started, f"{event.task} started twice")
        task.started = True

    def _cell_started(self, event: ev.CellStarted) -> None:
        self._runs(event.task, event.attempt)

    def _cell_output(self, event: ev.CellOutput) -> None:
        self._runs(event.task, event.attempt)

    def _cell_ended(self, event: ev.CellEnded) -> None:
        self._runs(event.task, event.attempt)

    def _kill_requested(self, event: ev.KillRequested) -> None:
        self._runs(event.task, event.attempt)
        self._must(self.to_kill.pop(event.task, None) is event.force, f"{event.task} must not be killed so")

    def _attempt_ended(self, event: ev.AttemptEnded) -> None:
        task = self._runs(event.task, event.attempt)
        if event.outcome.verdict == "cancelled":
            self._must(self.stop is not None, f"{event.task} was cancelled by nobody")
        task.last, self.unsettled = event.outcome, event.task

    def _retry_scheduled(self, event: ev.RetryScheduled) -> None:
        task = self._settles(event.task, "failed")
        self._must(self._is_tried_again(task), f"{event.task} must not be tried again")
        policy = task.plan.retry
        delay = policy.delay
        if policy.backoff == "exponential":
            delay = max(policy.delay, min(3600.0, policy.delay * 2 ** (task.tries - 1)))
        wait = (event.due - self.now).total_seconds()
        self._must(delay - 1e-5 <= wait <= delay * 1.25 + 1e-5, f"{event.task} waits {wait} s instead of {delay} s")
        task.state, task.due = "retrying", event.due

    def _task_succeeded(self, event: ev.TaskSucceeded) -> None:
        task = self._settles(event.task, "succeeded")
        task.outputs = dict(task.last.outputs) if task.last else {}
        task.state, task.successes = "succeeded", task.successes + 1

    def _task_failed(self, event: ev.TaskFailed) -> None:
        task = self.tasks[event.task]
        if task.state == "pending":
            self._begins(event.task, "pending")
            self._must(self._wanted(event.task) == "fail", f"{event.task} fails before it began")
            self._must(event.error.kind == "start_failed", f"{event.task} failed by {event.error.kind}")
        else:
            task = self._settles(event.task, "failed")
            self._must(not self._is_tried_again(task), f"{event.task} must be tried again")
            self._must(not self._went_down(task), f"{event.task} failed at nothing")
            if task.last is not None and task.last.error is not None:
                self._must(event.error == task.last.error, f"{event.task} failed by another error")
        task.state = "failed"
        self.first_failure = self.first_failure or event.task

    def _task_cancelled(self, event: ev.TaskCancelled) -> None:
        task = self.tasks[event.task]
        if task.state == "running":
            task = self._settles(event.task, "failed" if self._went_down(task) else "cancelled")
        self._must(self.stopping, f"{event.task} was cancelled by nobody")
        self._must(task.plan.action == "run", f"{event.task} was cancelled, which never was to run")
        self._must(task.state not in ENDED, f"{event.task} was cancelled while {task.state}")
        because = {
            None: f"fail-fast: '{self.first_failure}' failed",
            "cancel": "cancelled by ",
            "interrupt": "interrupted by ",
            "timeout": "the run's time limit has passed",
        }[self.stop.mode.value if self.stop else None]
        self._must(event.reason.startswith(because), f"{event.task} was cancelled because '{event.reason}'")
        task.state = "cancelled"

    # After an append nothing is left to be done

    def _nothing_left(self) -> None:
        self._must(self.unsettled is None, f"{self.unsettled} is not settled")
        self._must(not self.to_kill, f"not told to end: {self.to_kill}")
        if not self.begun or self.finished:
            return
        open_tasks = [name for name, task in self.tasks.items() if task.state not in ENDED]
        self._must(bool(open_tasks), "every task has ended, but the run goes on")
        for name in open_tasks:
            self._must(self.tasks[name].plan.action == "run", f"{name} was settled by the plan, and waits")
            if self.stopping:
                self._must(name in self.running, f"{name} waits in a run that stops")
            else:
                self._may_wait(name)
        if self.deadline is not None and self.stop is None:
            self._must(self.now < self.deadline, "the run goes on after its time limit")

    def _may_wait(self, name: str) -> None:
        task = self.tasks[name]
        if task.state == "pending":
            self._must(self._wanted(name) is None, f"{name} waits, but its upstreams have decided")
        elif task.state == "queued":
            room = self._has_room(name) and not self._waits_for_others(name)
            self._must(not room, f"{name} waits for a slot that is free")
        elif task.state == "retrying":
            self._must(task.due is not None and task.due > self.now, f"{name} is due for its retry")

    # Rules

    def _begins(self, name: str, *states: str) -> Task:
        task = self.tasks[name]
        self._must(self.begun, f"{name} goes on before the run begins")
        self._must(task.state in states, f"{name} goes on while {task.state}")
        self._must(not self.stopping, f"{name} goes on in a run that stops")
        self._must(task.plan.action == "run", f"{name} is not to run")
        return task

    def _runs(self, name: str, attempt: int) -> Task:
        task = self.tasks[name]
        self._must(name in self.running and attempt == task.attempts, f"{name}/{attempt} does not run")
        return task

    def _settles(self, name: str, outcome: str) -> Task:
        self._must(self.unsettled == name, f"{name} settled without an outcome")
        self.unsettled = None
        task = self.tasks[name]
        self._must(task.last is not None and task.last.verdict == outcome, f"{name} is {outcome} after {task.last}")
        return task

    def _went_down(self, task: Task) -> bool:
        """Whether it was lost in a run that somebody interrupted."""
        lost = task.last is not None and task.last.error is not None and task.last.error.kind == "lost"
        return lost and self.stop is not None and self.stop.mode == "interrupt"

    def _is_tried_again(self, task: Task) -> bool:
        error = task.last.error if task.last is not None else None
        kind = error.kind.value if error is not None else "lost"
        named = {kind, f"{kind}:{error.ename}" if error is not None else kind}
        fits = not task.plan.retry.on or bool(named & set(task.plan.retry.on))
        return task.tries <= task.plan.retry.retries and fits and not self.stopping

    def _resumable(self, name: str) -> bool:
        task = self.tasks[name]
        is_dropped = name in self.made.get(task.plan.base, []) and name not in self.lists[task.plan.base]
        return task.state != "succeeded" and task.plan.action != "skip" and not (is_dropped and task.state == "skipped")

    def _has_room(self, name: str) -> bool:
        settings, plan = self.created.settings, self.tasks[name].plan
        running = [self.tasks[one].plan for one in self.running]
        if len(running) >= min(settings.jobs, settings.max_parallel or settings.jobs):
            return False
        if plan.max_parallel and len([one for one in running if one.base == plan.base]) >= plan.max_parallel:
            return False
        taken = sum(one.slots for one in running if one.pool == plan.pool)
        return plan.pool is None or taken + plan.slots <= settings.pools[plan.pool]

    def _waits_for_others(self, name: str) -> bool:
        return self.shares and self.tasks[name].plan.pool is not None

    def _urgency(self, name: str) -> tuple[float, int]:
        return (-self.weight[name], self.order.index(name))

    def _judges(self, name: str) -> list[str]:
        """The upstreams that count: what does not run lets its own upstreams through."""
        found: list[str] = []
        for upstream in self.tasks[name].plan.upstream:
            action = self.tasks[upstream].plan.action
            found += [] if action == "run" else self._judges(upstream)
            found += [] if action == "skip" else [upstream]
        return list(dict.fromkeys(found))

    def _takes(self, name: str, seconds: Mapping[str, float]) -> float:
        """How long a task took before, or its copies, or most tasks; 1 where nothing is known."""
        for one in (name, self.tasks[name].plan.base):
            if one in seconds:
                return max(seconds[one], 0.001)
        return max(sorted(seconds.values())[len(seconds) // 2], 0.001) if seconds else 1

    def _upstream(self, name: str) -> list[str]:
        """The states that count for a task as they are now: of copies in place of those that have them. A list without
        items is a success, whether it has always been empty or has become so.
        """
        listed = [self.lists.get(up, [up]) for up in self.judged_by[name]]
        return [state for names in listed for state in [self.tasks[one].state for one in names] or ["succeeded"]]

    def needed(self, name: str) -> list[str]:
        """What a document says that a task needs: in place of lists all copies that there ever were."""
        return [one for up in self.tasks[name].plan.upstream for one in self.made.get(up, [up])]

    def _above(self, name: str) -> set[str]:
        """Everything upstream of a task, copies of former lists included."""
        found: set[str] = set()
        for up in self.judged_by[name]:
            for one in self.made.get(up, [up]):
                found |= {one, *self._above(one)}
        return found

    def _identity(self, name: str) -> tuple[str, int]:
        """An item, and which of its like it was when it was first listed."""
        items = [self.tasks[one].item[0] for one in self.made[self.tasks[name].plan.base]]
        return _identities(items)[self.made[self.tasks[name].plan.base].index(name)]

    def _expander(self, base: str) -> str:
        """A copy that asks for its list to be made anew."""
        self._must(base in self.stale, f"{base} has its copies already")
        waiting = [name for name in self.lists[base] if self.tasks[name].state == "pending"]
        self._must(bool(waiting), f"{base} has no copy that waits")
        return waiting[0]

    def _items(self, name: str) -> list[Any]:
        """The list. Raises NoValue where there is none, or one that is too long."""
        plan = self.tasks[name].plan
        source = plan.for_each["$tuple"] if isinstance(plan.for_each, dict) else plan.for_each
        whole = isinstance(source, list)
        items = [self._rendered(name, one) for one in source] if whole else self._rendered(name, source)
        if not isinstance(items, list) or len(items) > plan.max_items:
            raise NoValue(str(items))
        return items

    def _below(self, name: str) -> list[str]:
        return [one for one in self.order if name in self.judged_by[one] and self.tasks[one].plan.action == "run"]

    def _wanted(self, name: str) -> str | None:
        """run | skip | block | fail | left out | reuse, or None while upstreams are open."""
        plan = self.tasks[name].plan
        if plan.action != "run":
            return "left out" if plan.action == "skip" else "reuse"
        upstream = self._upstream(name)
        if plan.for_each is not None and not set(upstream) <= ENDED:
            return None
        wanted = verdict(plan.run_if.value, upstream)
        to_list = plan.for_each is not None and (plan.base in self.stale or plan.base in self.tasks)
        is_dropped = name in self.made.get(plan.base, []) and name not in self.lists[plan.base]
        if is_dropped and not (wanted == "run" and to_list):
            return wanted and "skip"
        if wanted != "run":
            return wanted
        try:
            if plan.when is not None and not (to_list and "item" in plan.when) and not self._value(name, plan.when):
                return "skip"
            if to_list:
                return "expand" if isinstance(self._items(name), list) else "fail"
            self._params(name)
        except NoValue:
            return "fail"
        return "run"

    # Expressions: those that the simulated pipelines use are also Python

    def _params(self, name: str) -> dict[str, Any]:
        plan = self.tasks[name].plan
        given = {key: value for key, value in {**self.created.params, **plan.matrix}.items() if key in plan.accepts}
        if self.tasks[name].item and "item" in plan.accepts:
            given["item"] = self.tasks[name].item[0]
        return {**given, **{key: self._rendered(name, value) for key, value in plan.params.items()}}

    def _rendered(self, name: str, value: Any) -> Any:
        whole = re.fullmatch(r"\{\{(.*)\}\}", value) if isinstance(value, str) else None
        return self._value(name, whole[1]) if whole else value

    def _value(self, name: str, expression: str) -> Any:
        scope = {
            "params": SimpleNamespace(**self.created.params),
            "matrix": SimpleNamespace(**self.tasks[name].plan.matrix),
            "tasks": SimpleNamespace(
                **{
                    base: SimpleNamespace(outputs=self._outputs(base))
                    for base in {task.plan.base for task in self.tasks.values()}
                }
            ),
        }
        if self.tasks[name].item:
            scope["item"] = self.tasks[name].item[0]
        try:
            return eval(expression.strip(), {"__builtins__": {}}, scope)  # noqa: S307 - ours, from a seed
        except (NameError, AttributeError, TypeError, ZeroDivisionError, SyntaxError) as error:
            raise NoValue(str(error)) from error

    def _outputs(self, base: str) -> SimpleNamespace:
        names = self.lists.get(base, [name for name in self.order if self.tasks[name].plan.base == base])
        copies = [self.tasks[name] for name in names]
        given = [task.outputs if task.state == "succeeded" else {} for task in copies]
        if not copies or (copies[0].plan.for_each is not None and base in names and copies[0].state == "succeeded"):
            return Empty(**(given[0] if given else {})) if not any(given) else SimpleNamespace(**given[0])
        if not copies[0].plan.matrix and not copies[0].item:
            return SimpleNamespace(**given[0])
        return SimpleNamespace(**{key: [one.get(key) for one in given] for one in given for key in one})

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            raise Wrong(f"{what} (after event {self.seq})")
