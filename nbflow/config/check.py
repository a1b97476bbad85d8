"""`check(path)`: everything that is wrong with a project, its notebooks and kernels included, with places.

What `nbflow validate` prints, and what is asked before each run. Reads every notebook once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbflow.config.load import Loaded, in_order, load
from nbflow.config.notebooks import NotebookFile, read_notebook
from nbflow.config.places import archive_faults
from nbflow.config.secrets import secret_faults
from nbflow.config.state import state_faults
from nbflow.core.contract import Contract, read_contract
from nbflow.core.faults import Fault, also_for, did_you_mean
from nbflow.core.habits import habit_warnings
from nbflow.core.spec import ProjectSpec
from nbflow.core.validate import validate
from nbflow.core.validate_notebooks import NotebookFacts, validate_notebooks
from nbflow.errors import Problem
from nbflow.sources import TEXT

MAX_LISTED = 1_000


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found. `spec` is None where any problem is more than a warning.

    `notebooks` are all that tasks name, `contracts` those that could be read; both by `Task.notebook`.
    """

    spec: ProjectSpec | None
    problems: list[Problem]
    notebooks: Mapping[str, NotebookFile] = field(default_factory=dict)
    contracts: Mapping[str, Contract] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the project can run: warnings do not count."""
        return all(problem.warning for problem in self.problems)


def installed_kernels() -> dict[str, str]:
    """Names of the installed kernels, in small letters, and their languages."""
    from jupyter_client.kernelspec import KernelSpecManager

    return {name: found["spec"]["language"] for name, found in KernelSpecManager().get_all_specs().items()}


def known_kernels(wanted: Iterable[str]) -> Mapping[str, str]:
    """As `installed_kernels`, at least where `wanted` are among them.

    They mostly lie in Jupyter's folders; jupyter_client, which knows of more places, takes longer to load than a whole
    project.
    """
    found = _listed_kernels()
    return found if all(name.lower() in found for name in wanted) else installed_kernels()


def _listed_kernels() -> dict[str, str]:
    from jupyter_core.paths import jupyter_path

    found: dict[str, str] = {}
    for place in (file for folder in jupyter_path("kernels") for file in _kernels_in(Path(folder))):
        try:
            language = json.loads(place.read_bytes())["language"]
        except (OSError, ValueError, LookupError, TypeError):
            continue  # what is wrong with it is said by the one who starts it
        found.setdefault(place.parent.name.lower(), str(language))
    return found


def _kernels_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*/kernel.json"))
    except OSError:  # the home of somebody else, say; Jupyter passes over it, too
        return []


def check(path: Path, *, profile: str | None = None, kernels: Callable[[], Mapping[str, str]] | None = None) -> Checked:
    """Load a project and judge all of it. Never raises for a mistake of the user's."""
    return judge(read(path, profile=profile), kernels=kernels)


@dataclass(frozen=True, kw_only=True)
class Read:
    """What stands in a project's files, and in the notebooks that its tasks name (by `Task.notebook`)."""

    loaded: Loaded
    notebooks: Mapping[str, NotebookFile] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all of it could be read, so that there will hardly be a reason to refuse it."""
        return self.loaded.spec is not None and all(file.document is not None for file in self.notebooks.values())


def read(path: Path, *, profile: str | None = None) -> Read:
    """Read a project's files and notebooks, without judging how they fit together."""
    loaded = load(path, profile=profile)
    if loaded.draft is None:
        return Read(loaded=loaded)
    root = Path(loaded.draft.root)
    return Read(loaded=loaded, notebooks={name: read_notebook(root / name) for name in _users(loaded.draft)})


def judge(what: Read, *, kernels: Callable[[], Mapping[str, str]] | None = None) -> Checked:
    """Judge all of a project that has been read. `kernels` tells those that are installed; None: this machine does."""
    loaded, notebooks = what.loaded, what.notebooks
    if loaded.draft is None or loaded.files is None:
        return Checked(spec=None, problems=loaded.problems)
    spec = loaded.draft
    facts = {
        name: NotebookFacts(
            contract=read_contract(file.document), kernel=file.kernel, warnings=habit_warnings(file.document)
        )
        for name, file in notebooks.items()
        if file.document is not None
    }
    known: Mapping[str, str] | None = None
    if facts:
        known = kernels() if kernels is not None else known_kernels(_wanted_kernels(spec, facts))
    faults = [
        *validate(spec),
        *_file_faults(spec, notebooks),
        *secret_faults(spec, loaded.files),
        *archive_faults(spec),
        *state_faults(spec),
        *validate_notebooks(spec, facts, known),
    ]
    problems = [*loaded.problems, *(loaded.files.problem(fault) for fault in _new(faults, loaded))]
    return Checked(
        spec=spec if all(problem.warning for problem in problems) else None,
        problems=in_order(problems),
        notebooks=notebooks,
        contracts={name: one.contract for name, one in facts.items()},
    )


def _new(faults: Iterable[Fault], loaded: Loaded) -> Iterator[Fault]:
    """Faults that do not merely follow from what `load` has said already."""
    has_errors = loaded.spec is None
    for fault in faults:
        if has_errors and fault.key == ("pipelines",):
            continue
        if not any(fault.key[:length] in loaded.unclear for length in range(1, len(fault.key) + 1)):
            yield fault


def _wanted_kernels(spec: ProjectSpec, facts: Mapping[str, NotebookFacts]) -> set[str]:
    named = {task.kernel for pipeline in spec.pipelines.values() for task in pipeline.tasks.values()}
    return {name for name in (*named, *(one.kernel for one in facts.values()), *spec.preloads) if name}


def _users(spec: ProjectSpec) -> dict[str, list[tuple[str, str]]]:
    """Each notebook that can be looked for, with the pipelines and tasks that run it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for pipeline in spec.pipelines.values():
        for task in pipeline.tasks.values():
            if task.notebook:
                found.setdefault(task.notebook, []).append((pipeline.name, task.name))
    return found


def _file_faults(spec: ProjectSpec, notebooks: Mapping[str, NotebookFile]) -> Iterator[Fault]:
    """What is wrong with notebook files, each said once, at the first task that runs it."""
    root = Path(spec.root).resolve()
    for name, users in _users(spec).items():
        pipeline, task = users[0]
        key = ("pipelines", pipeline, "tasks", task, "notebook")
        more = also_for(len(users) - 1)
        file = notebooks[name]
        for problem in file.problems:
            hint = problem.hint or (_beside(file.path) if file.is_missing else None)
            yield Fault(key=key, message=f"{name}: {problem.message}{more}", hint=hint, warning=problem.warning)
        if file.document is not None and not file.path.resolve().is_relative_to(root):
            yield Fault(key=key, message=f"{name}: this is a link that leaves the project{more}")


def _beside(path: Path) -> str | None:
    """A hint for a notebook that is missing: one in the same folder that is named alike."""
    endings = {".ipynb", path.suffix} & {".ipynb", *TEXT}
    try:
        found = (one.name for one in path.parent.iterdir() if one.suffix in endings)
        names = [name for name, _ in zip(found, range(MAX_LISTED), strict=False)]
    except OSError:
        return None
    return did_you_mean(path.name, names, what="notebooks in this folder") if names else None
