"""Streams: coloured where that is wanted, silent or loud when their reader is gone."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import IO

import pytest

from nbflow.cli.output import Output, Outputs
from nbflow.cli.states import look
from nbflow.cli.text import Cell
from nbflow.errors import UnreachableError
from support.commands import Terminal


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def closed_pipe() -> IO[str]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


@pytest.mark.parametrize(
    ("variables", "colour", "live"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, False, True),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_a_terminal_has_colours_unless_told_otherwise(
    variables: dict[str, str], colour: bool, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out = Output(Terminal())
    assert (out.colour, out.is_live) == (colour, live)
    assert out.paint("x", "red bold") == ("\x1b[31;1mx\x1b[0m" if colour else "x")


def test_a_file_has_neither_colours_nor_a_width() -> None:
    out = Output(io.StringIO())
    assert not out.colour
    assert not out.is_live
    assert out.width > 100_000


def test_a_closed_pipe_raises_and_stays_gone() -> None:
    with closed_pipe() as stream:
        out = Output(stream)
        with pytest.raises(BrokenPipeError):
            out.line("x")
        assert out.is_closed()
        out.line("nobody hears this")


def test_a_lasting_output_goes_on_in_silence() -> None:
    with closed_pipe() as stream:
        out = Output(stream)
        out.lasting = True
        out.line("x")
        assert out.gone


def test_what_somebody_else_left_in_a_closed_pipe_is_noticed() -> None:
    with closed_pipe() as stream:
        out = Output(stream)
        stream.write("by somebody else")
        assert out.is_closed()


def test_an_open_output_is_not_closed() -> None:
    assert not Output(io.StringIO()).is_closed()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_its_own() -> None:
    full = pytest.raises(UnreachableError, match=os.strerror(errno.ENOSPC))
    with Path("/dev/full").open("w", encoding="utf-8") as stream, full:
        Output(stream).line("x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_a_lasting_output_has_lost_is_told_on_demand() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        out = Output(stream)
        out.lasting = True
        out.demand()
        out.line("x")
        with pytest.raises(UnreachableError, match=os.strerror(errno.ENOSPC)):
            out.demand()
    with closed_pipe() as stream:
        out = Output(stream)
        out.lasting = True
        out.line("x")
        out.demand()


def test_documents_are_ascii_and_hold_no_control_character() -> None:
    stream = io.StringIO()
    Output(stream).document({"name": "漢\x1b]0;\x7f\x9b"}, indent=None)
    text = stream.getvalue()
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()
    assert json.loads(text) == {"name": "漢\x1b]0;\x7f\x9b"}


def test_what_the_encoding_lacks_is_escaped() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    out = Output(stream)
    out.line(f"{out.glyph(look('failed'))} 漢")
    assert stream.buffer.getvalue() == b"x \\u6f22\n"  # type: ignore[attr-defined]


def test_a_table_is_cut_on_a_terminal_and_whole_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        Output(stream).table(("a", "b"), [["1", Cell("y" * 40)]], indent="  ")
    assert terminal.getvalue() == "  A  B\n  1  " + "y" * 14 + "…\n"
    assert file.getvalue() == "  A  B\n  1  " + "y" * 40 + "\n"


def test_a_word_for_last_makes_both_outputs_lasting() -> None:
    outputs = Outputs(Output(io.StringIO()), Output(io.StringIO()), json=False)
    outputs.last()
    assert outputs.out.lasting
    assert outputs.err.lasting
