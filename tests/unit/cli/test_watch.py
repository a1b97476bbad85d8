"""Which viewer watches a run, and what each is given."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pytest

from nbflow.cli.output import Output, Outputs
from nbflow.cli.watch import JsonLines, LiveView, PlainLines, viewer, watching
from nbflow.core import events as ev
from nbflow.core.state import RunState, fold
from support.build import Story, planned, stamp
from support.commands import Terminal, TextFile


@dataclass
class Going:
    """What an engine says of its run."""

    state: RunState
    waits: dict[str, str] = field(default_factory=dict)


def outputs(stream: io.StringIO, *, as_json: bool = False) -> Outputs:
    return Outputs(Output(stream), Output(io.StringIO()), as_json)


@pytest.mark.parametrize(
    ("stream", "as_json", "verbose", "kind"),
    [
        (Terminal, False, False, LiveView),
        (Terminal, False, True, PlainLines),
        (Terminal, True, False, JsonLines),
        (TextFile, False, False, PlainLines),
        (TextFile, True, False, JsonLines),
    ],
)
def test_the_viewer_fits_where_it_writes(
    stream: type[io.StringIO], as_json: bool, verbose: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(viewer(outputs(stream(), as_json=as_json), lambda _: {}, verbose=verbose)) is kind


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert type(viewer(outputs(Terminal()), lambda _: {}, verbose=False)) is PlainLines


def test_a_notebook_that_calls_nbflow_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("JPY_PARENT_PID", "4321")
    assert type(viewer(outputs(Terminal()), lambda _: {}, verbose=False)) is PlainLines


@pytest.mark.parametrize("goes_on", [False, True])
def test_lines_say_what_a_run_waits_for_unless_something_goes_on(goes_on: bool) -> None:
    stream = TextFile()
    shown = PlainLines(Output(stream), verbose=False)
    story = Story(planned("a", pool="db"), pools={"db": 1})
    waits = {"db": "waits for pool db (1 of 1 taken, by run x)"}
    engine = Going(story.state, waits)
    shown.begin(engine)
    if goes_on:
        story.send("start")
    shown(stamp([ev.RunStarted(owner="somebody")])[0])
    assert (waits["db"] in stream.getvalue()) is not goes_on


def test_lines_go_by_the_state_that_the_engine_has_now() -> None:
    """It folds a new one where others have got slots in between; the old one may never change again."""
    stream = TextFile()
    shown = PlainLines(Output(stream), verbose=False)
    story = Story(planned("a", pool="db"), pools={"db": 1})
    engine = Going(story.state, {"db": "waits for pool db (1 of 1 taken, by run x)"})
    shown.begin(engine)
    engine.state = fold(story.history)
    story.send("start")
    assert story.state.live
    shown(stamp([ev.RunStarted(owner="somebody")])[0])
    assert engine.waits["db"] in stream.getvalue()


def test_json_lines_begin_with_the_creation_of_a_new_run() -> None:
    story = Story(planned("a"))
    stream = TextFile()
    shown = JsonLines(Output(stream))
    shown.begin(Going(fold(story.history[:1])))
    story.send("start")
    for stamped in story.history[1:]:
        shown(stamped)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[0]["type"] == "run_created"


def test_json_lines_of_a_resumed_run_begin_with_what_is_new() -> None:
    story = Story(planned("a"))
    story.send("start")
    stream = TextFile()
    JsonLines(Output(stream)).begin(Going(story.state))
    assert stream.getvalue() == ""


def test_the_viewer_is_ended_whatever_happens_and_nobody_need_listen() -> None:
    ended = []

    class Viewer(PlainLines):
        def end(self) -> None:
            ended.append(True)

    both = outputs(TextFile())
    with pytest.raises(ZeroDivisionError), watching(Viewer(both.out, verbose=False), both):
        raise ZeroDivisionError
    assert ended == [True]
    assert both.out.lasting
