"""The environment of a kernel: the caller's, without what would change results behind its back."""

from __future__ import annotations

from nbflow.kernels.environ import OWNER_MARK, kernel_environment


def test_what_is_inherited_and_what_is_not() -> None:
    caller = {
        "PATH": "/bin",
        "MPLBACKEND": "agg",
        "PYTHONSTARTUP": "x.py",
        "IPYTHONDIR": "/home/me/.ipython",
        "JPY_SESSION_NAME": "n.ipynb",
        "JPY_PARENT_PID": "7",
        "NBFLOW_RUN": "outer",
    }
    made = kernel_environment(caller, variables={"NBFLOW_RUN": "inner", OWNER_MARK: "/j"})
    assert made == {"PATH": "/bin", "NBFLOW_RUN": "inner", OWNER_MARK: "/j"}
    assert caller["NBFLOW_RUN"] == "outer"
