"""What is simulated: a random pipeline with a request, and how kindly its executor and its machine behave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from nbflow.core.rows import Past
from nbflow.core.spec import Backoff, Matrix, Pipeline, RetryPolicy, RunIf, Task
from support.scenarios import Case

RULES = [RunIf.ALL_SUCCESS] * 6 + list(RunIf)
CONTRARY = [RunIf.ALL_FAILED] * 10 + [RunIf.ONE_FAILED] * 4
"""Rules by which a success stands against a task: what counts as one is seen best by them."""
FAILURES = ["exception:ValueError", "exception:KeyError", "timeout", "kernel_died", "start_failed", "archive", "exited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """Chances, between 0 and 1, of what goes wrong in one history."""

    failure: float
    lost: float
    silent: float
    doubled: float
    late: float
    foreign: float
    crash: float
    zombie: float
    stop: float
    obedience: float
    resume: float
    jump: float
    put: float
    full: float
    broken: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A case, and the temper of the machine that it meets."""

    case: Case
    temper: Temper


def make_world(rng: Random) -> World:
    """A world from chance."""
    pools = {"p": rng.randint(1, 3)} if rng.random() < 0.5 else {}
    tasks: dict[str, Task] = {}
    for name, needs in _graph(rng).items():
        tasks[name] = _task(rng, name, needs, tasks, pools)
    if changing := len(tasks) > 2 and rng.random() < 0.15:
        tasks |= _changing_list(rng)
    selected = _selected(rng, tasks)
    past = {copy: Past(run="old", outputs=outputs(rng)) for name in tasks for copy in _copies(tasks[name])}
    past |= {name: Past(run="old", outputs=_listed(rng)) for name, task in tasks.items() if task.for_each is not None}
    case = Case(
        pipeline=Pipeline(name="sales", tasks=tasks),
        selected=selected,
        past=past,
        seconds={name: rng.choice([0.0, 3.0, 20.5]) for name in tasks if rng.random() < 0.3},
        accepts=dict.fromkeys(list(tasks)[::2], ("limit", "item")),
        params={"limit": rng.randint(0, 9)},
        settings={
            "jobs": rng.randint(1, 4),
            "max_parallel": rng.choice([None, None, 1, 2, 3]),
            "fail_fast": rng.random() < 0.2,
            "timeout": rng.choice([None, None, None, 20.0, 100.0, 400.0]),
            "pools": pools,
        },
    )
    temper = _temper(rng)
    if changing:  # where nothing fails, or nobody resumes, no list becomes another
        temper = replace(temper, failure=0.4, resume=0.9)
    return World(case=case, temper=temper)


def _graph(rng: Random) -> dict[str, tuple[str, ...]]:
    """Names with what they need: independent, a chain, fan-out and fan-in, layers, or anything without a cycle."""
    names = [f"t{place}" for place in range(rng.randint(1, 8))]
    match rng.choice(["independent", "chain", "fan", "layers", "any", "any", "any"]):
        case "independent":
            return dict.fromkeys(names, ())
        case "chain":
            return {name: tuple(names[max(0, place - 1) : place]) for place, name in enumerate(names)}
        case "fan":
            first, middle, last = names[0], names[1:-1], names[-1]
            fan = {first: (), **dict.fromkeys(middle, (first,))}
            return fan if last == first else {**fan, last: tuple(middle) or (first,)}
        case "layers":
            return {name: tuple(names[max(0, place // 3 * 3 - 3) : place // 3 * 3]) for place, name in enumerate(names)}
        case _:
            part = rng.choice([0.2, 0.4, 0.7])
            return {name: tuple(up for up in names[:place] if rng.random() < part) for place, name in enumerate(names)}


def _task(rng: Random, name: str, needs: tuple[str, ...], before: Mapping[str, Task], pools: Mapping[str, int]) -> Task:
    matrix = Matrix(axes={"x": (1, 2, 3)[: rng.randint(2, 3)]}) if rng.random() < 0.15 else None
    for_each = _for_each(rng, needs) if matrix is None and rng.random() < 0.3 else None
    pool = "p" if pools and rng.random() < 0.5 else None
    return Task(
        name=name,
        notebook=f"{name}.ipynb",
        needs=needs,
        params=_params(rng, needs, matrix, for_each),
        when=_when(rng, needs, before, for_each) if rng.random() < 0.15 else None,
        run_if=rng.choice([*RULES, *[RunIf.ALL_DONE] * (12 if for_each else 0)])
        if needs
        else rng.choice([RunIf.ALL_SUCCESS, RunIf.ONE_FAILED]),
        retry=RetryPolicy(
            retries=rng.choice([0, 0, 1, 2]),
            delay=rng.choice([0.0, 1.0, 30.0]),
            backoff=rng.choice(list(Backoff)),
            on=rng.choice([(), (), ("timeout", "lost"), ("exception:ValueError", "kernel_died"), ("exception",)]),
        ),
        pool=pool,
        slots=rng.randint(1, pools["p"]) if pool else 1,
        matrix=matrix,
        for_each=for_each,
        max_items=rng.choice([1_000, 1_000, 2]),
        max_parallel=rng.choice([1, 2]) if (matrix or for_each) and rng.random() < 0.6 else None,
    )


def _for_each(rng: Random, needs: tuple[str, ...]) -> str | tuple[Any, ...]:
    """A list of its own, or what an upstream gives: a list, a number, a list of lists, nothing."""
    if not needs or rng.random() < 0.2:
        return rng.choice([("a", "b"), (1, "{{ params.limit }}", 1), ({"k": 1}, [2], None)])
    if rng.random() < 0.1:
        return rng.choice(["{{ params.limit }}", "{{ params.nobody }}"])
    return f"{{{{ tasks.{rng.choice(needs)}.outputs.{rng.choice(['files', 'files', 'files', 'n'])} }}}}"


def _changing_list(rng: Random) -> dict[str, Task]:
    """A list of what copies give, whatever becomes of them, so that a resume finds another one, or an empty one."""
    given = "tasks.t0.outputs.n"
    return {
        "t0": Task(name="t0", notebook="t0.ipynb", matrix=Matrix(axes={"x": (1, 2, 3)})),
        "t1": Task(
            name="t1",
            notebook="t1.ipynb",
            needs=("t0",),
            for_each=rng.choice([f"{{{{ {given} }}}}", f"{{{{ {given} if {given}[2] == None else [] }}}}"]),
            params={"y": "{{ item }}"},
            run_if=RunIf.ALL_DONE,
        ),
        **{
            name: Task(name=name, notebook=f"{name}.ipynb", needs=needs, run_if=rng.choice([*RULES, *CONTRARY]))
            for name, needs in (("t2", ("t1",)), ("t3", ("t1",)), ("t4", ("t0", "t1", "t2")))
        },
    }


def outputs(rng: Random) -> dict[str, Any]:
    """What a task gives."""
    files = [rng.choice([1, 2, 3, "x/y.csv", "x", "1"]) for _ in range(rng.choice([0, 1, 2, 2, 3, 4]))]
    return {"n": rng.randint(0, 9), "files": files}


def _listed(rng: Random) -> dict[str, Any]:
    """What all copies of a task gave."""
    each = [outputs(rng) for _ in range(rng.choice([0, 1, 2]))]
    return {name: [one[name] for one in each] for name in ("n", "files") if each}


def _params(
    rng: Random, needs: tuple[str, ...], matrix: Matrix | None, for_each: str | tuple[Any, ...] | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if for_each and rng.random() < 0.5:
        found["y"] = "{{ item }}"
    if needs and rng.random() < 0.2:
        found["n"] = f"{{{{ tasks.{rng.choice(needs)}.outputs.n }}}}"
    if matrix and rng.random() < 0.5:
        found["x"] = "{{ matrix.x }}"
    if rng.random() < 0.2:
        found["limit"] = rng.choice([7, "{{ params.limit + 1 }}"])
    if rng.random() < 0.04:
        found["bad"] = rng.choice(["{{ params.nobody }}", "{{ 1 / params.limit }}"])
    return found


def _when(
    rng: Random, needs: tuple[str, ...], before: Mapping[str, Task], for_each: str | tuple[Any, ...] | None
) -> str:
    if for_each and rng.random() < 0.5:
        return rng.choice(["item != 2", "item > 1"])
    plain = [name for name in needs if before[name].matrix is None and before[name].for_each is None]
    if plain and rng.random() < 0.6:
        return f"tasks.{rng.choice(plain)}.outputs.n > {rng.randint(0, 8)}"
    return rng.choice(["params.limit > 4", "params.limit < 5", "params.nobody"])


def _selected(rng: Random, tasks: Mapping[str, Task]) -> frozenset[str]:
    if rng.random() < 0.7:
        return frozenset(tasks)
    return frozenset(name for name in tasks if rng.random() < 0.6)


def _copies(task: Task) -> list[str]:
    return [f"{task.name}[{x}]" for x in task.matrix.axes["x"]] if task.matrix else [task.name]


def _temper(rng: Random) -> Temper:
    return Temper(
        failure=rng.choice([0.0, 0.1, 0.4]),
        lost=rng.choice([0.0, 0.05, 0.2]),
        silent=rng.choice([0.0, 0.0, 0.1]),
        doubled=rng.choice([0.0, 0.2]),
        late=rng.choice([0.0, 0.2]),
        foreign=rng.choice([0.0, 0.05]),
        crash=rng.choice([0.0, 0.0, 0.03, 0.1]),
        zombie=rng.random(),
        stop=rng.choice([0.0, 0.0, 0.02, 0.1]),
        obedience=rng.choice([0.3, 0.8, 1.0]),
        resume=rng.choice([0.3, 0.9]),
        jump=rng.choice([0.0, 0.0, 0.02]),
        put=rng.choice([0.0, 0.0, 0.3]),
        full=rng.choice([0.0, 0.5, 1.0]),
        broken=rng.choice([0.0, 0.0, 0.03]),
    )
