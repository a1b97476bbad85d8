"""What running cells print, second by second, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.messages import CellOutput, Report
from nbflow.worker.live import LEFT_OUT, LONGEST, PLENTY, SHORT, Live, plain


class Loop:
    """The clock of an event loop: `go_on` lets time pass, and calls what is due."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        self.timers.append(asyncio.TimerHandle(when, callback, args, cast("asyncio.AbstractEventLoop", self), context))
        return self.timers[-1]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [one for one in self.timers if one.when() <= end]:
            first = min(due, key=asyncio.TimerHandle.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when())
            first._run()
        self.now = end


class Attempt:
    """A Live and all that it reports, as (seconds since the beginning, number of the cell, text)."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.said: list[tuple[float, int, str]] = []
        self.live = Live("clean", 3, self._note, cast("asyncio.AbstractEventLoop", self.loop))

    def _note(self, report: Report) -> None:
        assert isinstance(report, CellOutput)
        assert (report.task, report.attempt) == ("clean", 3)
        assert report.cell == 10 * report.number
        self.said.append((round(self.loop.now - 100, 6), report.number, report.text))

    def begin(self, number: int = 1) -> None:
        self.live.begin(10 * number, number)

    def hear(self, text: str, number: int = 1) -> None:
        self.live.hear(10 * number, text)

    def end(self, number: int = 1) -> None:
        self.live.end(10 * number)

    @property
    def text(self) -> str:
        return "".join(text for _, _, text in self.said)


@pytest.fixture
def attempt() -> Attempt:
    made = Attempt()
    made.begin()
    return made


def test_a_cell_that_prints_once_and_computes_on_is_heard_within_a_second(attempt: Attempt) -> None:
    attempt.loop.go_on(500)
    attempt.hear("loading ...")
    attempt.loop.go_on(3600)
    assert attempt.said == [(501.0, 1, "loading ...")]
    assert attempt.loop.timers == []


def test_what_comes_within_a_second_is_one_report(attempt: Attempt) -> None:
    for number in range(30):
        attempt.hear(f"{number}\n")
        attempt.loop.go_on(0.1)
    assert [at for at, _, _ in attempt.said] == [1.0, pytest.approx(2.05, abs=0.1)]
    attempt.end()
    assert attempt.text == "".join(f"{number}\n" for number in range(30))


def test_a_short_cell_has_none_and_a_long_one_has_all(attempt: Attempt) -> None:
    attempt.hear("quick\n")
    attempt.loop.go_on(0.9)
    attempt.end()
    attempt.begin(2)
    attempt.hear("slow\n", 2)
    attempt.loop.go_on(1.5)
    attempt.hear("end\n", 2)
    attempt.end(2)
    assert [(number, text) for _, number, text in attempt.said] == [(2, "slow\n"), (2, "end\n")]
    attempt.loop.go_on(100)
    attempt.live.close()
    assert len(attempt.said) == 2


def test_a_short_cell_with_more_text_than_a_preview_holds_says_so(attempt: Attempt) -> None:
    attempt.hear("x" * 100 + "\n")
    attempt.hear("y" * LONGEST + "\n")
    attempt.end()
    assert attempt.text == f"{LEFT_OUT}{'y' * (LONGEST - 1)}\n"


def test_what_a_thread_says_after_the_end_of_its_cell_is_told(attempt: Attempt) -> None:
    attempt.hear("quick\n")
    attempt.end()
    attempt.begin(2)
    attempt.hear("late\n", 1)
    attempt.loop.go_on(1)
    assert attempt.said == [(1.0, 1, "late\n")]
    attempt.end(2)
    attempt.hear("at exit\n", 2)
    attempt.live.close()
    assert attempt.said[1:] == [(1.0, 2, "at exit\n")]
    assert attempt.loop.timers == []


def test_the_text_of_another_cell_does_not_go_with_the_end_of_one(attempt: Attempt) -> None:
    attempt.hear("one\n")
    attempt.loop.go_on(0.5)
    attempt.begin(2)
    attempt.hear("two\n", 2)
    attempt.end()
    attempt.loop.go_on(2)
    assert attempt.said == [(1.5, 2, "two\n")]


def test_text_of_a_cell_that_never_began_is_nobodys(attempt: Attempt) -> None:
    attempt.hear("?", 9)
    attempt.hear("")
    attempt.loop.go_on(5)
    assert attempt.said == []


def test_of_a_flood_only_the_end_is_told_each_second(attempt: Attempt) -> None:
    for second in range(3):
        for number in range(20_000):
            attempt.hear(f"{second}.{number:05}\n")
        attempt.hear("x" * 5_000_000 + f"\nlast of {second}\n")
        attempt.loop.go_on(1.2)
    assert len(attempt.said) == 3
    for second, (_, _, text) in enumerate(attempt.said):
        assert text == f"{LEFT_OUT}last of {second}\n"
    attempt.hear("".join(f"{number:05}\n" for number in range(1_000)))
    attempt.loop.go_on(2)
    last = attempt.said[-1][2]
    assert last.startswith(LEFT_OUT)
    assert last.endswith("00998\n00999\n")
    assert LONGEST - 10 < len(last) - len(LEFT_OUT) <= LONGEST
    assert all(len(line) == 5 for line in last.splitlines()[1:]), "no line is cut through"


def test_the_longer_it_goes_on_the_rarer_and_shorter_are_the_reports(attempt: Attempt) -> None:
    def talk(seconds: int) -> Sequence[tuple[float, int, str]]:
        before = len(attempt.said)
        for _ in range(seconds):
            attempt.hear("y" * 300 + "\n" + "z" * 1_500 + "\n")
            attempt.loop.go_on(1)
        return attempt.said[before:]

    assert 25 < len(talk(60)) < 60
    first_day = talk(24 * 3600)
    assert 1_500 < len(first_day) < 2_000
    assert sum(len(text) for _, _, text in first_day) < PLENTY + len(first_day) * (SHORT + len(LEFT_OUT)) + LONGEST
    attempt.end()
    attempt.begin(2)
    attempt.hear("a new cell\n", 2)
    attempt.loop.go_on(2)
    assert attempt.said[-1][1:] == (2, "a new cell\n"), "that is seen at once all the same"


def test_a_progress_bar_is_a_line_for_each_report(attempt: Attempt) -> None:
    for percent in range(100):
        attempt.hear(f"\r{percent:3}%|" + "#" * percent)
        attempt.loop.go_on(0.03)
    attempt.hear(f"\r100%|{'#' * 100}\n")
    attempt.end()
    lines = attempt.text.split("\n")
    assert lines[-2:] == ["100%|" + "#" * 100, ""]
    assert len(lines) == 4
    assert all(line.startswith(" ") and "%|#" in line for line in lines[:2])


def test_a_progress_bar_of_backspaces(attempt: Attempt) -> None:
    attempt.hear("loading  1%")
    attempt.loop.go_on(2)
    attempt.hear("\x1b[1m\b\b\b 2%\b\b\b 3%")
    attempt.end()
    assert attempt.text == "loading  1%\n 3%"


def test_a_fast_progress_bar_has_lost_nothing(attempt: Attempt) -> None:
    for percent in range(50_000):
        attempt.hear(f"\r{percent:6} of 50000")
    attempt.loop.go_on(1.5)
    assert attempt.text == " 49999 of 50000"
    for percent in range(50_000):
        attempt.hear(f"{percent:6} of all\r")
    attempt.end()
    assert attempt.text == " 49999 of 50000\n 49999 of all"


def test_a_line_may_come_in_parts(attempt: Attempt) -> None:
    for _ in range(3):
        attempt.hear("..")
        attempt.loop.go_on(2)
    attempt.hear("\x1b[3")
    attempt.loop.go_on(2)
    attempt.hear("1mred\x1b[0m\r")
    attempt.loop.go_on(2)
    attempt.hear("\nnext")
    attempt.end()
    assert [text for _, _, text in attempt.said] == ["..", "..", "..", "red", "\nnext"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x1b[1;31mbold\x1b[0m", "bold"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("1%\r2%\r3%\n", "3%\n"),
        ("bell\x07 tab\t nul\x00 c1\x9b31m", "bell tab\t nul c131m"),
        ("1%\b\b2%\b\b3%", "3%"),
        ("loading\r\x1b[Kdone", "done"),
    ],
)
def test_colours_and_control_characters_come_off(text: str, told: str) -> None:
    assert plain(text) == told


SPOKEN = st.text(st.sampled_from("ab \n\r\x1b[]0;1m\x07\\ž"), max_size=30)


@given(st.lists(st.tuples(SPOKEN, st.sampled_from([0.0, 0.3, 2.0]))))
def test_nothing_that_a_terminal_obeys_is_told(parts: list[tuple[str, float]]) -> None:
    attempt = Attempt()
    attempt.begin()
    for text, pause in parts:
        attempt.hear(text)
        attempt.loop.go_on(pause)
    attempt.end()
    assert not set(attempt.text) & set("\r\x1b\x07")


@given(
    st.lists(st.tuples(st.text(st.sampled_from("ab\n ž"), max_size=40), st.sampled_from([0.0, 0.3, 2.0])), min_size=1)
)
def test_plain_text_is_told_as_it_is(parts: list[tuple[str, float]]) -> None:
    attempt = Attempt()
    attempt.begin()
    attempt.hear("first\n")
    attempt.loop.go_on(1)
    for text, pause in parts:
        attempt.hear(text)
        attempt.loop.go_on(pause)
    attempt.end()
    assert attempt.text == "first\n" + "".join(text for text, _ in parts)
