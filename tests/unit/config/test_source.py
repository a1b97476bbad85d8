"""Bytes of a file: every fault of them is a problem with a place, none an exception."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.source import MAX_BYTES, MAX_DEPTH, Source, dotted, parse_source, read_source
from nbflow.core.faults import Fault
from nbflow.errors import Problem

DEEP = MAX_DEPTH + 1


def parsed(data: bytes | str) -> Source:
    found = parse_source(data.encode() if isinstance(data, str) else data, "pipelines.toml")
    assert isinstance(found, Source), str(found)
    return found


def refused(data: bytes | str) -> Problem:
    found = parse_source(data.encode() if isinstance(data, str) else data, "pipelines.toml")
    assert isinstance(found, Problem)
    return found


def test_a_byte_order_mark_and_crlf_change_neither_values_nor_places() -> None:
    source = parsed(b"\xef\xbb\xbf[a]\r\nb = 'x'\r\n")
    assert source.data == {"a": {"b": "x"}}
    assert source.place(("a", "b")) == (2, 1, 2, 5)


@pytest.mark.parametrize(
    ("text", "line", "col", "message"),
    [
        ("a = 1\nb", 2, 2, "not valid TOML: Expected '=' after a key in a key/value pair at the end of the file"),
        ("a = 1\nb c = 2", 2, 3, "not valid TOML: Expected '=' after a key in a key/value pair"),
        ("a = yes\n", 1, 5, "not valid TOML: Invalid value"),
        ("x = 1\n[a]\n[a]\n", 3, 1, "not valid TOML: Cannot declare ('a',) twice"),
        ("a = 1\n  a = 2\nb = 3", 2, 3, "not valid TOML: Cannot overwrite a value"),
        ("a = 1\na = 2\n", 2, 1, "not valid TOML: Cannot overwrite a value"),
        ('a = """x\n\n', 1, 9, "not valid TOML: Unterminated string at the end of the file"),
        ("a = [1,\n2", 2, 2, "not valid TOML: Unclosed array at the end of the file"),
        ("a = 1\nb = 'x\x00y'", 2, 7, "a NUL character"),
        ("a = 1\n<<<<<<< HEAD\nb = 1\n=======\nb = 2\n>>>>>>> main\n", 2, 1, "a merge conflict marker"),
        ("ok = 1\nx = " + "1" * 5_000, 2, 5, "a number of more than 4,000 digits"),
        ("x = " + "1_1" * 3_000, 1, 5, "a number of more than 4,000 digits"),
        ("a = 1\nx = " + "[" * 500 + "]" * 500, 2, 5 + MAX_DEPTH, f"nested more than {MAX_DEPTH} levels deep"),
        ("x = " + "{a=" * 500 + "1" + "}" * 500, 1, 197, f"nested more than {MAX_DEPTH} levels deep"),
        ("\n" + ".".join("a" * 5_000) + " = 1", 2, 130, f"nested more than {MAX_DEPTH} levels deep"),
        ("[" + ".".join("a" * 100) + "]", 1, 129, f"nested more than {MAX_DEPTH} levels deep"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_text_that_is_no_toml_is_a_problem_at_its_place(text: str, line: int, col: int, message: str) -> None:
    problem = refused(text)
    assert (problem.line, problem.col, problem.message) == (line, col, message)
    assert problem.source is not None
    assert len(str(problem).splitlines()) <= 5


def test_the_problem_is_shown_with_its_line_and_a_caret() -> None:
    assert str(refused("a = 1\n\tb = yes # no\n")) == (
        "pipelines.toml:2:6: not valid TOML: Invalid value\n"
        "   b = yes # no\n"
        "       ^\n"
        '  hint: text stands in quotes: "..."; true and false are written small'
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[[[", None),
        ("a = 1\n[]\n", None),
        ("a.=1", None),
        ("a = { b = 1,, c = 2 }", None),
        ("a = { b = 1, }", "an inline table takes no comma after its last key"),
        ("a = { b = 1,}", "an inline table takes no comma after its last key"),
        ("a = { b = 1, # one\n c = 2 }", "an inline table stands on one line, without a comment"),
        ("a = {\n b = 1 }", "an inline table stands on one line, without a comment"),
        ("a = { b = 1,", None),
        ("a = yes", 'text stands in quotes: "..."; true and false are written small'),
        ("a = /tmp/x", 'text stands in quotes: "..."; true and false are written small'),
        ("a = [1,, 2]", None),
        ("a = \nb = 1", None),
        ("a = # nothing yet", None),
        ("[a\nb = 1", "a closing bracket is missing"),
        ("[[a] # two\nb = 1", "a closing bracket is missing"),
        ("[a b]\n", None),
    ],
)
def test_a_hint_is_given_only_where_it_fits(text: str, hint: str | None) -> None:
    problem = refused(text)
    assert problem.message.startswith("not valid TOML: ")
    assert problem.hint == hint


def test_far_to_the_right_the_line_is_shown_around_the_caret() -> None:
    text = "a = [" + "1, " * 100 + "yes" + ", 1" * 100 + "]"
    shown = str(refused(text)).splitlines()
    assert shown[0].startswith("pipelines.toml:1:306: ")
    assert len(shown[1]) == 202
    assert shown[1][shown[2].index("^") :].startswith("yes, 1, 1")


def test_text_that_is_not_utf8_names_the_line() -> None:
    problem = refused(b"a = 1\nb = '\xff'\n")
    assert (problem.line, problem.message) == (2, "the text is not UTF-8")
    assert refused("a = 1".encode("utf-16")).hint == "it looks like UTF-16: save it as UTF-8"


def test_markers_and_long_digits_inside_text_are_text() -> None:
    source = parsed("a = '''\n=======\n'''\nb = '" + "1" * 5_000 + "'\nc = '" + "[" * 500 + "' # " + "[" * 500)
    assert source.data["a"] == "=======\n"


def test_depth_counts_levels_and_not_brackets() -> None:
    assert parsed("a = [" + ", ".join(["[1.5, {b.c = 2.5}]"] * 500) + "]").data["a"][499] == [1.5, {"b": {"c": 2.5}}]
    assert parsed("x = " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))


def test_a_long_dotted_key_is_refused_at_once() -> None:
    start = time.process_time()
    refused("x = 1\n" + ".".join("a" * 100_000) + " = 1")
    assert time.process_time() - start < 2  # tomllib alone takes minutes: it is quadratic


def test_control_characters_do_not_reach_the_terminal() -> None:
    problem = refused("a = '\x1b]0;owned\x07' !")
    assert "\x1b" not in str(problem)
    assert "\x07" not in str(problem)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        found = read_source(path, path.name)
        assert isinstance(found, Problem)
        return found.message

    assert message(tmp_path / "none.toml") == "cannot be read: No such file or directory"
    assert message(tmp_path) == "this is a folder, not a file"
    os.mkfifo(tmp_path / "pipe")
    assert message(tmp_path / "pipe") == "this is not a regular file"
    assert message(tmp_path / ("x" * 300)) == "cannot be read: File name too long"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "pipelines.toml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    found = read_source(path, path.name)
    assert isinstance(found, Problem)
    assert found.message == "the file has 50.0 MB; at most 5 MB are read"
    path.write_bytes(b"#" * MAX_BYTES)
    assert isinstance(read_source(path, path.name), Source)


def test_a_fault_of_a_value_points_at_it_and_one_of_a_key_at_the_key() -> None:
    source = parsed("[a]\nlist = [\n  1,\n  2,\n]\n")

    def place(*at: str, on_key: bool = False) -> tuple[int | None, int | None]:
        problem = source.problem(Fault(key=at, message="m", on_key=on_key), at)
        return problem.line, problem.col

    assert place("a", "list", "1") == (4, 3)
    assert place("a", "list") == (2, 8)
    assert place("a", "list", on_key=True) == (2, 1)
    assert place("a") == (1, 2)
    assert place("a", "missing") == (1, 2)
    assert place("other") == (None, None)


def test_key_paths_are_shown_as_toml_writes_them() -> None:
    assert dotted(("a", "b-c", "d e", 'x"y\\\n\x1b', "é", "")) == 'a.b-c."d e"."x\\"y\\\\\\n\\x1b"."é".""'


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert isinstance(parse_source(data, "f"), Source | Problem)


@given(st.text(st.sampled_from("ab.=[]{},\"'\n #1\\"), max_size=60))
def test_no_text_raises_and_what_parses_has_places(text: str) -> None:
    found = parse_source(text.encode(), "f")
    if isinstance(found, Source):
        assert set(found.data) <= {path[0] for path in found.places}
