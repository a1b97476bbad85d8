"""Scenario files: a pipeline, what is asked of it, and a script of messages, each with the events that must follow.

    {"title": "...",
     "tasks": {"a": {"retry": {"retries": 1, "delay": 10}}, "b": {"needs": ["a"]}},
     "settings": {"jobs": 2}, "params": {"limit": 5}, "accepts": {"a": ["limit"]},
     "select": ["b"], "past": {"a": {"run": "old", "outputs": {"n": 1}}}, "seconds": {"a": 30.5},
     "steps": [{"at": 0, "send": ["start"], "expect": ["run_started", ...]},
               {"at": 9, "crash": true, "send": ["lost a/1", "start"]}],
     "ends": {"a": "succeeded", "b": "failed"}}

A task is written as its fields (`nbflow.core.spec.Task`); its name and notebook follow from its key. `send` holds lines
as `support.notation` reads them, or whole messages as objects. `crash` makes a new engine take the run over first,
which knows its events alone. Without `expect` the events are not compared (but the oracle always judges them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbflow.core import codec
from nbflow.core import events as ev
from nbflow.core import messages as msg
from nbflow.core.plan import Source, make_plan
from nbflow.core.rows import Past
from nbflow.core.spec import EMPTY, Pipeline
from support.build import NOON, RUN
from support.notation import parse_message

FOLDER = Path(__file__).parents[1] / "scenarios"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pipeline and what is asked of it. `accepts` are the parameters that the notebook of a task declares."""

    pipeline: Pipeline
    selected: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    accepts: Mapping[str, Sequence[str]] = field(default_factory=lambda: EMPTY)
    past: Mapping[str, Past] = field(default_factory=lambda: EMPTY)
    seconds: Mapping[str, float] = field(default_factory=lambda: EMPTY)

    def created(self) -> ev.RunCreated:
        """The first event of a run of it."""
        sources = {f"{task}.ipynb": Source(accepts=tuple(names)) for task, names in self.accepts.items()}
        plan = make_plan(
            self.pipeline,
            selected=self.selected,
            sources=sources,
            past=lambda one: self.past.get(one.name),
            seconds=self.seconds,
        )
        place = {"root": "/project", "outputs": "outputs", "folder": f"sales/{RUN}", "journals": "/journals", "jobs": 2}
        settings = ev.Settings(**{**place, **self.settings})
        return ev.RunCreated(
            run=RUN,
            pipeline=self.pipeline.name,
            logical_date=NOON,
            plan=plan,
            settings=settings,
            params=self.params,
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """Messages that come together, `at` seconds after the run was made; `expect` are lines, None where all is well."""

    at: float
    send: Sequence[msg.Message]
    crash: bool = False
    expect: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A case and its script. `ends` is the state of each task at the end, None where it is not told."""

    title: str
    case: Case
    steps: Sequence[Step]
    ends: Mapping[str, str] | None = None


def load(path: Path) -> Scenario:
    """A scenario from its file. Raises ValueError or TypeError for one that is not well formed."""
    data = json.loads(path.read_text("utf-8"))
    tasks = {name: {"name": name, "notebook": f"{name}.ipynb", **body} for name, body in data.pop("tasks").items()}
    case = Case(
        pipeline=codec.load(Pipeline, {"name": "sales", "tasks": tasks}),
        selected=frozenset(data.pop("select", tasks)),
        settings=data.pop("settings", {}),
        params=data.pop("params", {}),
        accepts=data.pop("accepts", {}),
        past={name: codec.load(Past, body) for name, body in data.pop("past", {}).items()},
        seconds=data.pop("seconds", {}),
    )
    steps = [Step(**{**step, "send": [_message(one) for one in step["send"]]}) for step in data.pop("steps")]
    return Scenario(case=case, steps=steps, **data)


def dump(scenario: Scenario) -> str:
    """The text of a scenario's file."""
    case = scenario.case
    data = {
        "title": scenario.title,
        "tasks": {name: _task(name, task) for name, task in codec.dump(case.pipeline.tasks).items()},
        "select": sorted(case.selected),
        "settings": dict(case.settings),
        "params": dict(case.params),
        "accepts": {name: list(names) for name, names in case.accepts.items()},
        "past": codec.dump(case.past),
        "seconds": dict(case.seconds),
        "steps": [_step(step) for step in scenario.steps],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _task(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in body.items() if (key, value) not in (("name", name), ("notebook", f"{name}.ipynb"))
    }


def _step(step: Step) -> dict[str, Any]:
    body: dict[str, Any] = {"at": step.at, "send": [_dumped(one) for one in step.send]}
    return {**body, "crash": True} if step.crash else body


def _dumped(message: msg.Message) -> dict[str, Any]:
    return {"type": type(message).__name__, **codec.dump(message)}


def _message(written: str | Mapping[str, Any]) -> msg.Message:
    if isinstance(written, str):
        return parse_message(written)
    parsed: msg.Message = codec.load(getattr(msg, written["type"]), written)
    return parsed
