"""Colours can be read by everybody, and states can be told apart without them."""

from __future__ import annotations

import re

import pytest

from nbflow.archive import palette
from nbflow.archive.draw import GRAPH_CSS
from nbflow.archive.timeline import TIMELINE_CSS
from nbflow.core.attempt import CellState, Verdict
from nbflow.core.status import RunStatus, TaskState

GROUNDS = ("bg", "card", "sunken")
TEXTS = ("text", "muted", "link", *palette.TONES)
CODE = tuple(name for name in palette.COLOURS if name.startswith("code-"))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str, scheme: int) -> float:
    light, dark = sorted(
        (luminance(palette.COLOURS[one][scheme]), luminance(palette.COLOURS[other][scheme])), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_reaches_a_contrast_of_4_5_on_every_ground(name: str, scheme: int) -> None:
    soft = [f"{name}-soft"] if f"{name}-soft" in palette.COLOURS else [f"{tone}-soft" for tone in palette.TONES]
    for ground in (*GROUNDS, *soft):
        assert contrast(name, ground, scheme) >= 4.5, ground


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", CODE)
def test_code_reaches_a_contrast_of_4_5(name: str, scheme: int) -> None:
    for ground in ("sunken", "live-soft"):
        assert contrast(name, ground, scheme) >= 4.5, ground


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_glyphs_stand_out_from_what_is_drawn_on_them(scheme: int) -> None:
    for tone in palette.TONES:
        assert contrast("on", tone, scheme) >= 3


@pytest.mark.parametrize("state", sorted({*TaskState, *RunStatus, *CellState, *Verdict}))
def test_every_state_has_a_tone_a_word_and_a_shape(state: str) -> None:
    assert palette.tone(state) in palette.TONES
    assert palette.word(state) == palette.STATES[state][1]
    assert palette.glyph(state).startswith("<")


def test_task_states_differ_by_shape_alone() -> None:
    assert len({palette.glyph(state) for state in TaskState}) == len(TaskState)
    assert len({palette.glyph(state) for state in RunStatus}) == len(RunStatus)


def test_unknown_states_are_shown_without_a_shape() -> None:
    assert (palette.tone("novel"), palette.word("some_novel"), palette.glyph("novel")) == ("off", "some novel", "")
    assert (palette.tone(None), palette.word(None), palette.glyph(None)) == ("off", "", "")


def test_the_worst_state_is_what_asks_for_attention() -> None:
    assert palette.worst(["succeeded", "failed", "running"]) == "failed"
    assert palette.worst(["skipped", "succeeded"]) == "succeeded"
    assert palette.worst(["skipped", None]) == "skipped"
    assert palette.worst([None, "novel"]) is None
    assert palette.worst([]) is None


@pytest.mark.parametrize("css", [GRAPH_CSS, TIMELINE_CSS])
def test_a_picture_that_stands_alone_needs_no_variables(css: str) -> None:
    written = palette.literal(css)
    assert "var(" not in written
    assert written.count("@media (prefers-color-scheme:dark)") == 1
    light, dark = written.split("@media (prefers-color-scheme:dark)")
    assert palette.COLOURS["text"][0] in light
    assert palette.COLOURS["text"][1] in dark
    assert written.count("{") == written.count("}")


def test_toned_rules_are_written_for_each_tone() -> None:
    written = palette.literal(".graph .plate,.x .y{fill:var(--soft);stroke:var(--tone)}")
    light = written.split("@media")[0]
    assert light.count("{") == len(palette.TONES)
    fill, stroke = palette.COLOURS["bad-soft"][0], palette.COLOURS["bad"][0]
    assert f".t-bad .plate,.t-bad .y{{fill:{fill};stroke:{stroke}}}" in light


def test_variables_hold_every_colour_in_both_schemes() -> None:
    light, dark = palette.variables().split("@media", 1)
    for name, (bright, dim) in palette.COLOURS.items():
        assert re.search(rf"--{name}:{bright};", light)
        assert re.search(rf"--{name}:{dim};", dark)


def test_counts_are_told_in_one_order_and_none_is_lost() -> None:
    states = ["novel", None, "not_run", "ok", "failed", "ok", "another"]
    assert palette.told(states) == [("failed", 1), ("ok", 2), ("not_run", 1), ("another", 1), ("novel", 1)]
    everything = [state for state, _ in palette.told(palette.STATES)]
    assert sorted(everything) == sorted(palette.STATES)
    assert everything[:3] == ["failed", "killed", "succeeded"]
    assert set(palette._TOLD) == set(palette.STATES)
