"""Bash's literals, read by a real Bash."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pexpect import replwrap

from nbflow.core.literals_bash import assignments

EVIL = [
    "",
    " ",
    "it's",
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
    "${x:-$(touch pwned)}",
    "a[$(touch pwned)]",
    '"; touch pwned; "',
    "\\",
    "\\'",
    "'\\''",
    "$'\\x41'",
    "a\nb\r\tc\x1b[0m\x7f",
    "!!",
    "it's !x",
    "!$(touch pwned)",
    "~/x *.py {a,b} # no comment",
    "-n",
    "ě😀",
    "\x01\x02",
    "=",
    "&& touch pwned",
    "\n" * 5,
    "\x85\u2028\u2029\x9b\x1c end of line, as Python's splitlines has it",
]


def run(lines: list[str], names: list[str], folder: Path) -> list[str]:
    """The values that Bash has for the names, after the lines are run there."""
    show = [f"printf '%s\\0' \"${{{name}}}\"" for name in names]
    done = subprocess.run(
        ["bash", "--norc"],
        input="\n".join([*lines, *show, ""]).encode(),
        capture_output=True,
        cwd=folder,
        check=True,
        timeout=60,
    )
    return done.stdout.decode().split("\0")[:-1]


def test_a_real_bash_has_the_values(tmp_path: Path) -> None:
    params = {f"p{i}": text for i, text in enumerate(EVIL)}
    assert run(assignments(params), list(params), tmp_path) == EVIL
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_bash_at_a_terminal_has_the_values(tmp_path: Path, locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its Jupyter kernel runs it: with the history, completion by tab, and a prompt after each line."""
    monkeypatch.setenv("LC_ALL", locale)
    params = {f"p{i}": text for i, text in enumerate(EVIL)}
    shell = replwrap.bash()
    assert "H" in shell.run_command("echo $-")
    shell.run_command(f"cd '{tmp_path}'; mkdir empty; cd empty; echo x > /dev/null")
    for line in assignments(params):
        shell.run_command(line)
    shown = " ".join(f'"${name}"' for name in params)
    shell.run_command(f"printf '%s\\0' {shown} > ../values")
    shell.child.close()
    assert (tmp_path / "values").read_bytes().decode().split("\0")[:-1] == EVIL
    assert not list((tmp_path / "empty").iterdir())


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=40))
def test_any_text_arrives(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    params = {f"p{i}": text for i, text in enumerate(texts)}
    lines = assignments(params)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert run(lines, list(params), tmp_path_factory.getbasetemp()) == texts


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("ě", "x=$'\\304\\233'"),
        (float("nan"), "x='nan'"),
        (time(6, 30), "x='06:30:00'"),
        (["a", 5, True], "x=('a' '5' 'true')"),
        ([], "x=()"),
        ("a b", "x='a b'"),
        ("it's", "x='it'\\''s'"),
        ("a\nb!", "x=$'a\\012b\\041'"),
        (5, "x='5'"),
        (0.5, "x='0.5'"),
        (True, "x='true'"),
        (False, "x='false'"),
        (PurePosixPath("a b/c"), "x='a b/c'"),
        (date(2026, 1, 31), "x='2026-01-31'"),
        (datetime(2026, 1, 31, 6, tzinfo=UTC), "x='2026-01-31T06:00:00+00:00'"),
    ],
)
def test_lines(value: object, line: str) -> None:
    declared = [] if value == 5 else ["declare +i x"]
    assert assignments({"x": value}) == [*declared, line]


def test_lists_are_arrays(tmp_path: Path) -> None:
    items = ["[0]=x", "[a[$(touch pwned)]]=y", "", "it's", "*", "a b"]
    lines = ["x=(1 2 3 4 5 6 7 8 9)", *assignments({"x": items, "empty": []})]
    (shown,) = run([*lines, "all=$(printf '<%s>' \"${x[@]}\" ${#empty[@]})"], ["all"], tmp_path)
    assert shown == "".join(f"<{item}>" for item in [*items, 0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["a[$(touch pwned)]", True, 2.5, ["a[$(touch pwned)]"]])
def test_no_value_is_calculated(value: object, tmp_path: Path) -> None:
    """As Bash does with a variable that was declared to be an integer."""
    shown = run(["declare -i x=5", *assignments({"x": value})], ["x"], tmp_path)
    assert shown == [{True: "true"}.get(value, str(value)) if not isinstance(value, list) else value[0]]
    assert not list(tmp_path.iterdir())


def test_a_variable_stays_what_the_notebook_has_made_it(tmp_path: Path) -> None:
    lines = ["export region=eu", "declare -i n=1", *assignments({"region": "us", "n": 10}), "n+=1"]
    assert run([*lines, "out=$(env | grep ^region)"], ["out", "n"], tmp_path) == ["region=us", "11"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "x: Bash has text, numbers, dates and times, and lists of them, no None"),
        ([1, None], r"x\[1\]: .* no None in a list"),
        ([[1]], r"x\[0\]: .* no list in a list"),
        ({"a": 1}, "no dict"),
        ((1,), "no tuple"),
        ("a\0b", "NUL"),
    ],
)
def test_what_bash_has_no_text_for(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assignments({"x": value})


@pytest.mark.parametrize(
    "name",
    [
        *("RANDOM", "SRANDOM", "OPTIND", "HISTCMD", "SECONDS", "LINENO", "PROMPT_COMMAND", "PS1", "PS4", "BASH_ENV"),
        *("BASH_ARGV0", "ENV", "IFS", "PATH", "UID", "PPID", "SHELLOPTS", "DIRSTACK", "LD_PRELOAD", "_"),
    ],
)
def test_names_that_bash_uses_itself(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: Bash has a use of its own"):
        assignments({name: "a[$(id)]"})


def test_no_other_variable_of_bash_runs_its_value(tmp_path: Path) -> None:
    """Assigned to any name that this Bash sets by itself and that we let through, a value is only text."""
    done = subprocess.run(
        ["bash", "--norc", "-ic", "compgen -v"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin:/usr/bin"},
    )
    names = [name for name in done.stdout.split() if not refused(name)]
    lines = assignments(dict.fromkeys(names, "a[$(touch pwned)]"))
    subprocess.run(
        ["bash", "--norc", "-i"],
        input="\n".join([*lines, "true", ""]),
        text=True,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert not (tmp_path / "pwned").exists()


def refused(name: str) -> bool:
    try:
        assignments({name: "x"})
    except ValueError:
        return True
    return False
