"""How the errors that kernels send are said in one line. Pure; must not know what an error means for an attempt."""

from __future__ import annotations

import re


def exception_text(ename: str, evalue: str) -> str:
    """`ValueError: no`. Bash's kernel names no exception, only the status of a command; R's has its own `Error in`."""
    if not ename and re.fullmatch(r"[0-9]+", evalue):
        return f"the last command ended with exit code {evalue}"
    if not evalue or not ename or (ename == "ERROR" and evalue.startswith("Error")):
        return evalue.strip() or ename
    return f"{ename}: {evalue}"
