"""Whether secrets can be found here and now: warnings, since a project may be checked elsewhere than it runs.

Looks at what is outside (variables, files, programs), and shows no value. Must not resolve commands or keyrings.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from nbflow.config.files import Files
from nbflow.config.layers import value_at
from nbflow.core.faults import Fault, KeyPath
from nbflow.core.masking import SHORTEST
from nbflow.core.secrets import BadReference, Scheme, parse_reference
from nbflow.core.spec import ProjectSpec

ELSEWHERE = "nothing needs to be done if runs are started where it is"
KEYRING_HINT = "install it: pip install 'jupyter-nbflow[secrets]'"


def secret_faults(spec: ProjectSpec, files: Files, environment: Mapping[str, str] = os.environ) -> Iterator[Fault]:
    """A warning for each reference that leads nowhere now, at the place where it stands, each place once."""
    said: set[KeyPath] = set()
    for pipeline in spec.pipelines.values():
        for task in pipeline.tasks.values():
            for name, reference in task.secrets.items():
                key = _written(files, (pipeline.name, task.name, name))
                if key not in said:
                    said.add(key)
                    yield from _faults(reference, key, Path(spec.root), environment)


def _written(files: Files, names: tuple[str, str, str]) -> KeyPath:
    """The key under which a task's secret stands: its own, its pipeline's or that of the defaults."""
    pipeline, task, name = names
    inner = ("pipelines", pipeline, "tasks", task, "secrets", name)
    places: list[KeyPath] = [inner, ("pipelines", pipeline, "secrets", name), ("defaults", "secrets", name)]
    return next((key for key in places if value_at(files.document(key).data, key) is not None), inner)


def _faults(text: str, key: KeyPath, root: Path, environment: Mapping[str, str]) -> Iterator[Fault]:
    try:
        reference = parse_reference(text)
    except BadReference:
        return  # said when the file was read
    match reference.scheme:
        case Scheme.ENV:
            found = _variable(reference.target, environment)
        case Scheme.FILE:
            found = _file(root / reference.target)
        case Scheme.CMD:
            found = _program(reference.words[0], root)
        case Scheme.KEYRING:
            found = None if find_spec("keyring") else ("keyrings need the package keyring", KEYRING_HINT)
    if found is not None:
        yield Fault(key=key, message=f"{text}: {found[0]}", hint=found[1], warning=True)


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    value = environment.get(name)
    if value is None:
        return "there is no such environment variable here", ELSEWHERE
    if not value:
        return "this environment variable is empty here", ELSEWHERE
    if len(value) < SHORTEST:
        return f"its value has fewer than {SHORTEST} characters and cannot be masked", "choose a longer secret"
    return None


def _file(path: Path) -> tuple[str, str] | None:
    try:
        found = path.stat()
    except OSError as error:
        return f"cannot be read here: {(error.strerror or str(error)).lower()}", ELSEWHERE
    if not stat.S_ISREG(found.st_mode):
        return "this is not a file", 'such as "file:/run/secrets/warehouse_url"'
    if found.st_uid == os.geteuid() and found.st_mode & stat.S_IROTH:
        return "every user of this machine can read it", f"chmod 600 {path}"
    return None


def _program(program: str, root: Path) -> tuple[str, str] | None:
    is_path = os.sep in program
    if shutil.which(str(root / program) if is_path else program) is None:
        return f'there is no program "{program}" here', ELSEWHERE
    return None
