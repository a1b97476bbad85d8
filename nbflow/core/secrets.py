"""Secrets by reference: how a reference is written, which variables may be secret, what kernels must not inherit.

A reference names where a value is to be found; the value itself is looked up by a worker, just before a kernel starts.
Must not know values, and no message here may quote a text that could be one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from nbflow.core.faults import nearest
from nbflow.core.spec import ProjectSpec

LONGEST = 4_000
"""Characters of a reference."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONGEST_NAME = 128
_NOT_SECRET = frozenset(
    name
    for names in (
        "PATH HOME SHELL USER LOGNAME PWD TMPDIR VIRTUAL_ENV CONDA_PREFIX",
        "IFS ENV BASH_ENV CDPATH GLOBIGNORE PS4 SHELLOPTS BASHOPTS",
        "LOCPATH GCONV_PATH NLSPATH MALLOC_TRACE",
        "IPYTHONDIR MPLBACKEND JUPYTER_PATH",
        "JUPYTER_CONFIG_DIR JUPYTER_CONFIG_PATH JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR",
        "R_HOME R_LIBS R_LIBS_USER R_LIBS_SITE R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER",
        "JULIA_PROJECT JULIA_LOAD_PATH JULIA_DEPOT_PATH",
        "PERL5LIB PERL5OPT RUBYLIB RUBYOPT NODE_PATH NODE_OPTIONS JAVA_TOOL_OPTIONS CLASSPATH",
    )
    for name in names.split()
)
"""Variables that decide which programs run, or what those load."""
_NOT_SECRET_PREFIXES = ("NBFLOW_", "PYTHON", "LD_", "DYLD_", "BASH_FUNC_", "JPY_")


class Scheme(StrEnum):
    """Where a value is found."""

    ENV = "env"
    FILE = "file"
    CMD = "cmd"
    KEYRING = "keyring"


EXAMPLES: Mapping[Scheme, str] = {
    Scheme.ENV: "env:WAREHOUSE_URL",
    Scheme.FILE: "file:/run/secrets/warehouse_url",
    Scheme.CMD: "cmd:pass show warehouse",
    Scheme.KEYRING: "keyring:warehouse/reader",
}
_ANY = "a reference is one of " + ", ".join(f'"{scheme.value}:..."' for scheme in Scheme)


class BadReference(ValueError):
    """A text that is no reference; it may be the secret itself, so that the message does not show it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that can be looked up. `target` is what stands behind the scheme."""

    scheme: Scheme
    target: str

    @property
    def words(self) -> list[str]:
        """The program of a `cmd:` and its arguments; no shell reads them."""
        import shlex

        return shlex.split(self.target)

    @property
    def entry(self) -> tuple[str, str]:
        """Service and name of a `keyring:`; a service may hold slashes."""
        service, _, name = self.target.rpartition("/")
        return service, name


def parse_reference(text: str) -> Reference:
    """A reference as `pipelines.toml` has it. Raises BadReference."""
    prefix, colon, target = text.partition(":")
    scheme = next((one for one in Scheme if one.value == prefix), None)
    if scheme is None:
        hint = f'did you mean "{close}:..."?' if colon and (close := nearest(prefix, list(Scheme))) else _ANY
        raise BadReference("not a reference: a secret never stands in this file, only where to find it", hint)
    hint = f'such as "{EXAMPLES[scheme]}"'
    if not target.strip():
        raise BadReference(f"nothing stands behind `{scheme.value}:`", hint)
    if "\0" in target or len(text) > LONGEST:
        raise BadReference(f"a reference has at most {LONGEST:,} characters, and no NUL among them")
    if fault := _target_fault(Reference(scheme, target)):
        raise BadReference(fault, hint)
    return Reference(scheme, target)


def _target_fault(reference: Reference) -> str | None:
    match reference.scheme:
        case Scheme.ENV if not _VARIABLE.fullmatch(reference.target):
            return "what stands behind `env:` is no name of an environment variable"
        case Scheme.FILE if reference.target.startswith("~"):
            return '"~" is not expanded: write the path in full, or relative to the folder of pipelines.toml'
        case Scheme.CMD:
            try:
                return None if reference.words else "the command is empty"
            except ValueError as error:
                return f"the command cannot be split into words: {str(error).lower()}"
        case Scheme.KEYRING if not all(part.strip() for part in reference.entry):
            return "what stands behind `keyring:` is a service and a name with a slash between them"
        case _:
            return None


def variable_fault(name: str) -> str | None:
    """Why a secret cannot have the name of this environment variable; None if it can."""
    if not _VARIABLE.fullmatch(name) or len(name) > _LONGEST_NAME:
        return f"a name is a letter or _ and then letters, digits or _, at most {_LONGEST_NAME} in all"
    if name.upper() in _NOT_SECRET or name.upper().startswith(_NOT_SECRET_PREFIXES):
        return f"{name} decides which programs run, or belongs to nbflow"
    return None


def withheld(spec: ProjectSpec) -> frozenset[str]:
    """Environment variables that some secret of the project refers to.

    No kernel inherits them: one that is to have such a value gets it by its own task's `secrets`.
    """
    texts = {
        text
        for pipeline in spec.pipelines.values()
        for task in pipeline.tasks.values()
        for text in task.secrets.values()
    }
    prefix = f"{Scheme.ENV.value}:"
    return frozenset(text.removeprefix(prefix) for text in texts if text.startswith(prefix))
