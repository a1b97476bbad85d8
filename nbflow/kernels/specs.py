"""Which kernels are installed here, and what is needed to start one of them.

Knows Jupyter's kernelspecs; must not know notebooks, nor start anything.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from nbflow.errors import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSpec:
    """One installed kernel. `interrupt_mode` is `signal` or `message`; `argv` the command that starts it."""

    name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    interrupt_mode: str = "signal"

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


def installed_kernels() -> list[str]:
    """Names of all installed kernels, sorted."""
    from jupyter_client.kernelspec import KernelSpecManager

    return sorted(KernelSpecManager().find_kernel_specs())


def find_kernel(name: str) -> KernelSpec:
    """The kernel of that name. Raises NotFoundError, naming those that are installed, where it cannot be used."""
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
    )


def _damaged(name: str, reason: str) -> NotFoundError:
    text = f'the kernel.json of kernel "{name}" cannot be used: {reason}'
    return NotFoundError(text, hint="install the kernel again")
