"""Which kernels are installed here, and what is needed to start one of them.

Knows Jupyter's kernelspecs; must not know notebooks, nor start anything.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbflow.errors import NotFoundError

_ORDINARY = re.compile(r"(-X\S+ )*-m ipykernel(_launcher)? -f \{connection_file\}")
"""The arguments of Python in a kernelspec that ipykernel has made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSpec:
    """One installed kernel. `interrupt_mode` is `signal` or `message`; `argv` the command that starts it.

    `env` are variables that it adds, `provisioner` is who starts it where that is not Jupyter itself.
    """

    name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    interrupt_mode: str = "signal"
    env: Mapping[str, str] = field(default_factory=dict)
    provisioner: str | None = None

    @property
    def runs_ipykernel(self) -> bool:
        """True where it takes IPython's own options."""
        return any("ipykernel" in argument for argument in self.argv)

    @property
    def interpreter(self) -> str:
        """The program that runs it. A bare `python` means this Python, as Jupyter has it."""
        bare = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
        return sys.executable if self.argv[0] in bare else self.argv[0]

    @property
    def metadata(self) -> dict[str, str]:
        """The `kernelspec` entry of a notebook that this kernel executed."""
        return {"display_name": self.display_name, "language": self.language, "name": self.name}


def why_not_forked(spec: KernelSpec) -> str | None:
    """Why a kernel has to be started the ordinary way; None for one that a zygote can fork."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        return "kernels are forked on Linux only"
    if spec.provisioner is not None:
        return f'its kernelspec has a provisioner of its own, "{spec.provisioner}"'
    if not spec.runs_ipykernel:
        return "only Python kernels are forked"
    if spec.interrupt_mode != "signal":
        return "its kernelspec asks for interrupts by message"
    if any("$" in value for value in spec.env.values()):
        return "its kernelspec sets variables that refer to others"
    if not _ORDINARY.fullmatch(" ".join(spec.argv[1:])):
        return "its kernelspec starts it with options of its own"
    return None


def interpreter_options(spec: KernelSpec) -> list[str]:
    """The options of Python itself with which a kernel that can be forked is started."""
    return [argument for argument in spec.argv[1:] if argument.startswith("-X")]


def installed_kernels() -> list[str]:
    """Names of all installed kernels, sorted."""
    from jupyter_client.kernelspec import KernelSpecManager

    return sorted(KernelSpecManager().find_kernel_specs())


def find_kernel(name: str) -> KernelSpec:
    """The kernel of that name. Raises NotFoundError, naming those that are installed, where it cannot be used."""
    if (found := _plain_kernel(name)) is not None:
        return found
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from traitlets import TraitError

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel as error:
        there = ", ".join(installed_kernels()) or "none"
        raise NotFoundError(
            f'kernel "{name}" is not installed here (installed: {there})',
            hint='install it, or set `kernel = "..."` for the task',
        ) from error
    except (OSError, ValueError, TypeError, TraitError) as error:
        raise _damaged(name, str(error)) from error
    if not spec.argv:
        raise _damaged(name, "it names no program")
    return KernelSpec(
        name=name,
        display_name=spec.display_name,
        language=spec.language,
        argv=tuple(spec.argv),
        interrupt_mode=spec.interrupt_mode,
        env={str(name): str(value) for name, value in spec.env.items()},
        provisioner=_provisioner(spec.metadata),
    )


def _plain_kernel(name: str) -> KernelSpec | None:
    """A kernel that lies in one of Jupyter's folders and asks for nothing special; None: jupyter_client has to tell.

    That one takes longer to load than a zygote has to wait for.
    """
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("kernels"):
        try:
            places = [place for place in Path(folder).iterdir() if place.name.lower() == name.lower()]
            documents = [json.loads(file.read_bytes()) for place in places if (file := place / "kernel.json").is_file()]
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return None
        if documents:
            return _from_document(name, documents[0])
    return None


def _from_document(name: str, document: Any) -> KernelSpec | None:
    match document:
        case {"argv": [str(), *_] as argv, "display_name": str(shown), "language": str(language)}:
            rest = {"metadata": {}, "env": {}, "interrupt_mode": "signal"} | document
        case _:
            return None
    has_words = all(isinstance(argument, str) for argument in argv)
    match rest:
        case {"metadata": dict(metadata), "env": dict(env), "interrupt_mode": "signal" | "message" as mode} if (
            has_words
        ):
            variables = {str(key): str(value) for key, value in env.items()}
            made = KernelSpec(
                name=name, display_name=shown, language=language, argv=tuple(argv), interrupt_mode=mode, env=variables
            )
            return None if "kernel_provisioner" in metadata else made
        case _:
            return None


def _provisioner(metadata: Any) -> str | None:
    found = metadata.get("kernel_provisioner") if isinstance(metadata, dict) else None
    name = found.get("provisioner_name") if isinstance(found, dict) else None
    return None if name in {None, "local-provisioner", "nbflow"} else str(name)


def _damaged(name: str, reason: str) -> NotFoundError:
    text = f'the kernel.json of kernel "{name}" cannot be used: {reason}'
    return NotFoundError(text, hint="install the kernel again")
