"""Why a kernel died, in one to five lines: what is known of it, and no more. Pure.

The facts: how the process ended, what the system says about memory, and the last that it wrote, in which Python's
faulthandler names the line of every thread. Must not know processes, nor what a death means for an attempt.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from nbflow.core.sizes import size
from nbflow.kernels.exits import describe_exit
from nbflow.kernels.memory import Evidence

_LAST_LINES = 3
_LONGEST_LINE = 300
_NEAR = 0.9
"""The part of a limit from which on a peak counts as near to it."""
_NAMES = {
    signal.SIGABRT: "it aborted itself",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGXCPU: "its limit of CPU time",
    signal.SIGXFSZ: "its limit of the size of files",
}
_NO_MEMORY = re.compile(r"MemoryError|std::bad_alloc|[Oo]ut of memory|Cannot allocate memory|ENOMEM")
_STACK = re.compile(r"^(?P<current>Current thread|Stack)?.*\(most recent call first\):$")
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')
_CELL_FILE = re.compile(r"[/\\]ipykernel_\d+[/\\][^/\\]+$")
_OF_THE_DUMP = re.compile(
    r"^(?:Fatal Python error: (?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating-point exception)$"
    r"|Extension modules: |Python runtime state: |\s+(?:Binary file |\.\.\.$|<))"
)
_COMMAND = re.compile(r"^\s*(?:[%!?]|[\w ,.]+=\s*[%!]).*\\$")
"""A line of IPython's own that goes on in the next one: IPython makes one line of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What is known of a kernel that has ended by itself.

    `code` as Popen has it (negative: a signal), `words` the end of what the process itself wrote, `peak` its highest
    resident memory in bytes, `source` the cell that was running.
    """

    code: int
    words: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    peak: int | None = None
    source: str | None = None


def explain(death: Death, what: str) -> tuple[str, int | None]:
    """`what` ("the kernel died in a cell") with all that is known of it, and the number of the signal, if any."""
    how, number = describe_exit(death.code)
    name = None if number is None or number not in _NAMES else _NAMES[signal.Signals(number)]
    facts = [
        f"{what}: {how} ({name})" if name else f"{what}: {how}",
        _of_memory(death, number),
        f"peak memory {size(death.peak)}" if death.peak else None,
    ]
    return _with_place("; ".join(fact for fact in facts if fact), death.words, death.source), number


def explain_excess(excess: str, words: str, source: str | None) -> str:
    """`excess`, the words for a limit that a kernel has passed, with where it was and what it said last."""
    return _with_place(excess, words, source)


def _with_place(first: str, words: str, source: str | None) -> str:
    lines = [first]
    if place := _place(words, source):
        lines.append(place)
    if last := last_lines(words):
        lines.append(f"it said last: {last}")
    return "\n".join(lines)


def last_lines(words: str) -> str:
    """The end of what a process wrote, without faulthandler's stacks: a few lines, none of them long."""
    whole = words.splitlines()
    if "Fatal Python error: " not in words and any(_STACK.match(line) for line in whole):
        whole = whole[1:]  # the beginning of the stacks is lost: this line is torn
    lines = [line.rstrip() for line in whole if line.strip() and not _is_of_a_dump(line)]
    return "\n".join(_cut(line) for line in lines[-_LAST_LINES:])


def lack_of_memory(kills: int, *, grouped: bool = True, limit: int | None = None) -> str:
    """The words for `kills` processes that the system has ended; `limit` in bytes is what they were allowed."""
    number = "a process" if kills == 1 else f"{kills} processes"
    where = "of its control group" if grouped else "of this machine"
    allowed = "" if limit is None else f" (limit {size(limit)})"
    return f"possibly out of memory: the system ended {number} {where} for lack of memory{allowed}"


def _of_memory(death: Death, number: int | None) -> str | None:
    """What speaks for a lack of memory. Killed by somebody unknown, and nothing known of memory, it stays possible."""
    evidence = death.evidence
    killed = number == signal.SIGKILL
    if evidence.kills and (killed or evidence.grouped):
        return lack_of_memory(evidence.kills, grouped=evidence.grouped, limit=evidence.limit)
    if killed and death.peak and evidence.limit and death.peak >= _NEAR * evidence.limit:
        return f"possibly out of memory: it was near its limit of {size(evidence.limit)}"
    if killed and evidence.kills is None:
        return "possibly out of memory"
    if _NO_MEMORY.search(death.words):
        limit = evidence.address_space
        return "possibly out of memory" + (f": its address space is limited to {size(limit)}" if limit else "")
    return None


@dataclass(frozen=True, slots=True)
class _Frame:
    file: str
    line: int
    name: str


def _place(words: str, source: str | None) -> str | None:
    """Where in the notebook the kernel was.

    The line of the running cell is in the outermost frame of a cell, the one that IPython's `run_code` has called. A
    deep stack lacks it: then the innermost function that was defined in a cell is named.
    """
    stacks = list(_stacks(words))
    for stack in stacks:
        for inner, outer in reversed(list(pairwise(stack))):
            if outer.name == "run_code" and _CELL_FILE.search(inner.file) and source is not None:
                return _line(source, inner.line)
    for frame in stacks[0] if stacks else ():
        if _CELL_FILE.search(frame.file):
            return f"in the function {_cut(frame.name)}"
    return None


def _line(source: str, number: int) -> str | None:
    """A line of a cell. IPython leaves out empty lines at the beginning; where it joins lines, nothing is said."""
    lines = source.splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
        number += 1
    first = number - len(source.splitlines()) + len(lines)
    if not 0 < first <= len(lines) or any(_COMMAND.match(line) for line in lines[: first - 1]):
        return None
    return f"at line {number}: {_cut(lines[first - 1].strip())}"


def _stacks(words: str) -> Iterator[Sequence[_Frame]]:
    """The stacks of faulthandler, innermost frame first; that of the thread that failed comes first."""
    found: list[list[_Frame]] = []
    current = 0
    for line in words.splitlines():
        if header := _STACK.match(line):
            current = len(found) if header["current"] and "C stack" not in line else current
            found.append([])
        elif found and (frame := _FRAME.match(line)):
            number = int(frame["line"]) if frame["line"].isdigit() else 0
            found[-1].append(_Frame(frame["file"], number, frame["name"]))
    yield from found[current : current + 1]
    yield from (stack for place, stack in enumerate(found) if place != current)


def _is_of_a_dump(line: str) -> bool:
    return bool(_STACK.match(line) or _FRAME.match(line) or _OF_THE_DUMP.match(line))


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "..."
