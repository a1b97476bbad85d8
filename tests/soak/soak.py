"""The soak: pipelines of quick tasks, whose processes are killed at random, are resumed until all has succeeded.

    python tests/soak/soak.py [--minutes 30] [--kills 200] [--tasks 1000] [--every 3] [--seed 1] [--folder DIR]

Ends once so many tasks have succeeded and the engine has died so often, or so many minutes have passed; then checks
every invariant and prints figures. The exit code is 1 where one is broken; the folder then stays for a look. The same
seed gives the same strikes, as far as processes are as fast as before.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from support.invariants import living
from support.projects import Project, project

PIPELINE, TASKS = "soak", 25
"""Tasks of a run."""
MOST_NEEDS = 3
STRIKES = {"engine": 6, "worker": 2, "kernel": 2, "zygote": 1, "server": 1}
"""How often each kind of process is struck, in proportion."""
IN_THE_MIDDLE = 0.8
"""Of the engines, so many are left alone until they have said that they have begun; others may die at any moment."""
LONGEST = 300.0
"""Seconds that one life of an engine may take at most: longer is a hang, and breaks the promise."""
CELLS = (
    (
        "import nbflow, os\nledger = os.path.join('ledger', nbflow.run.id)\nos.makedirs(ledger, exist_ok=True)\n"
        "with open(os.path.join(ledger, nbflow.run.task), 'a') as file:\n    file.write(f'{nbflow.run.attempt}\\n')"
    ),
    "import time\ntime.sleep(0.05)",
    "nbflow.output('n', n)",
)
"""Of each notebook: it notes that it has begun, and gives the number that it was given."""


@dataclass
class Figures:
    """What a soak has seen."""

    runs: int = 0
    lives: int = 0
    deaths: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    last: int = 0
    broken: list[str] = field(default_factory=list)


class Soak:
    """One soak in a project."""

    def __init__(self, place: Project, seed: int, every: float) -> None:
        self.place = place
        self.every = every
        self.rng = random.Random(seed)
        self.needs = shape(self.rng)
        self.figures = Figures()
        place.notebook("work", *CELLS, params="n: int = 0")
        (place.root / "pipelines.toml").write_text(toml(self.needs), "utf-8")

    def one_run(self, *, until: float) -> None:
        """Make a run and see it through; from `until` on (monotonic) nothing is struck any more."""
        known = set(self._runs())
        run: str | None = None
        while run is None or self._runs()[run] != "succeeded":
            self.figures.lives += 1
            self._one_life(["resume", run] if run else ["run", PIPELINE, "-j", "3"], until)
            run = run or next(iter(set(self._runs()) - known), None)
        if self.figures.last == -signal.SIGKILL:  # it may have died when the page was all that was missing
            said = self.place.call("resume", run)
            assert said.code == 0, said.err
        self.figures.runs += 1

    def _runs(self) -> dict[str, str]:
        return {run["run"]: run["state"] for run in self.place.runs()}

    def _one_life(self, command: Sequence[str], until: float) -> None:
        """Start an engine and strike until it has ended, by whatever."""
        said = self.place.root / "said"
        with said.open("wb") as file:
            engine = self.place.start(*command, output=file)
            deadline = time.monotonic() + LONGEST
            if self.rng.random() < IN_THE_MIDDLE:
                while engine.poll() is None and said.stat().st_size == 0 and time.monotonic() < deadline:
                    time.sleep(0.02)
            while engine.poll() is None:
                struck = min(time.monotonic() + self.rng.expovariate(1 / self.every), deadline)
                try:
                    engine.wait(struck - time.monotonic())
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= deadline:
                        engine.kill()
                        raise AssertionError(f"no end after {LONGEST:g} s: {command}") from None
                    if time.monotonic() < until:
                        self._strike(engine)
        self.figures.last = engine.returncode
        self.figures.ends[engine.returncode] += 1
        self.figures.deaths += engine.returncode == -signal.SIGKILL
        if engine.returncode not in (0, 1, -signal.SIGKILL):
            raise AssertionError(f"{command} ended with {engine.returncode}: {said.read_text('utf-8', 'replace')}")

    def _strike(self, engine: subprocess.Popen[Any]) -> None:
        """Kill one process of a random kind; the engine, where there is none of that kind."""
        kind = self.rng.choices(list(STRIKES), list(STRIKES.values()))[0]
        chance = self.rng.random()
        found = [] if kind == "engine" else [one for one, what in living(self.place.root) if what == kind]
        if not found:
            kind, victim = "engine", psutil.Process(engine.pid)
        else:
            victim = found[int(chance * len(found))]
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            return
        self.figures.kills[kind] += 1

    def judge(self) -> list[str]:
        """Check everything, and add up what the runs have been through."""
        attempts: Counter[str] = Counter()
        self.place.sweep()
        states = self.place.check()
        expected = values(self.needs)
        for run, state in states.items():
            assert state.status == "succeeded", f"{run} is {state.status}"
            for name, task in state.tasks.items():
                assert task.outputs == {"n": expected[name]}, f"{run}: {name} gave {task.outputs}"
                begun = [int(one) for one in (self.place.root / "ledger" / run / name).read_text().split()]
                assert len(begun) == len(set(begun)), f"I3: {run}: an attempt of {name} was executed twice: {begun}"
                assert begun[-1] == task.attempt, f"I2: {run}: {name} succeeded in {task.attempt}, executed {begun}"
                attempts.update(
                    "succeeded" if one.outcome is None or one.outcome.error is None else one.outcome.error.kind
                    for one in task.attempts
                )
        tasks = sum(len(state.tasks) for state in states.values())
        resumed = sum(max(0, self._claims(run) - 1) for run in states)
        figures = self.figures
        return [
            f"runs {figures.runs}, tasks {tasks}, attempts {attempts.total()} ({told(attempts)})",
            f"kill -9: {figures.kills.total()} ({told(figures.kills)}); the engine died {figures.deaths} times",
            f"engines {figures.lives}, of which {resumed} resumed a run; they ended with {told(figures.ends)}",
        ]

    def _claims(self, run: str) -> int:
        """How many engines have had a run."""
        return sum(event["type"] == "run_started" for event in self.place.call("logs", run, "--json").json["events"])


def told(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def shape(rng: random.Random) -> dict[str, list[str]]:
    """Tasks with what they need: of the few before them, some of them nothing."""
    names = [f"t{place:02d}" for place in range(TASKS)]
    return {
        name: sorted(rng.sample(names[max(0, place - 6) : place], min(place, rng.randrange(MOST_NEEDS + 1))))
        for place, name in enumerate(names)
    }


def values(needs: dict[str, list[str]]) -> dict[str, int]:
    """What each task must give: one more than all that it needs."""
    found: dict[str, int] = defaultdict(int)
    for name, upstream in needs.items():
        found[name] = 1 + sum(found[one] for one in upstream)
    return found


def toml(needs: dict[str, list[str]]) -> str:
    """The pipeline; retries let some deaths be healed by the run itself."""
    lines = [f"[pipelines.{PIPELINE}.tasks]"]
    for name, upstream in needs.items():
        n = " + ".join(["1", *(f"tasks.{one}.outputs.n" for one in upstream)])
        lines.append(
            f"{name} = {{ notebook = 'work.ipynb', needs = {json.dumps(upstream)}, retries = 1, retry_delay = '0.1s', "
            f"params = {{ n = '{{{{ {n} }}}}' }} }}"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Soak as the command line asks for, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=200, help="deaths of the engine that are enough")
    parser.add_argument("--tasks", type=int, default=1_000, help="tasks that are enough")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two strikes, on average")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="nbflow-soak-"))
    begun = time.monotonic()
    until = begun + asked.minutes * 60
    print(f"seed {asked.seed}, in {folder}", flush=True)
    with project(folder / "project", "") as place:
        soak = Soak(place, asked.seed, asked.every)
        try:
            while time.monotonic() < until and (
                soak.figures.deaths < asked.kills or soak.figures.runs * TASKS < asked.tasks
            ):
                soak.one_run(until=until)
                print(f"  {soak.figures.runs} runs, the engine died {soak.figures.deaths} times", flush=True)
            lines = soak.judge()
        except Exception as error:  # noqa: BLE001 - whatever breaks is told, and the folder stays
            print(f"broken after {time.monotonic() - begun:.0f} s: {error!r}\n{soak.figures}")
            return 1
    print(*lines, f"{time.monotonic() - begun:.0f} s; no invariant was broken", sep="\n")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
