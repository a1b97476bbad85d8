"""The environment variables that a kernel starts with.

What would change a notebook's results behind its back is taken out: the caller's plotting backend, start-up files,
IPython's configuration and history. Must not know notebooks or secrets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

OWNER_MARK = "NBFLOW_JOURNAL"
"""Every process of an attempt has it: the path of the attempt's journal, by which left-over processes are found."""

_NOT_INHERITED = ("MPLBACKEND", "PYTHONSTARTUP", "PYTHONINSPECT", "IPYTHONDIR", "JPY_PARENT_PID", "JPY_SESSION_NAME")


def zygote_environment(inherited: Mapping[str, str], withheld: Collection[str] = ()) -> dict[str, str]:
    """What all kernels of a process inherit. `withheld` are variables that only who asks for them may have."""
    return {name: value for name, value in inherited.items() if name not in _NOT_INHERITED and name not in withheld}


def kernel_environment(
    inherited: Mapping[str, str], *, variables: Mapping[str, str], withheld: Collection[str] = ()
) -> dict[str, str]:
    """What a kernel inherits, plus `variables`."""
    return {**zygote_environment(inherited, withheld), **variables}
