"""Text in pictures: escaped, measured, shortened."""

from __future__ import annotations

from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from nbflow.archive import svg


@given(st.text(max_size=60))
def test_escaped_text_is_well_formed_in_elements_and_attributes(text: str) -> None:
    found = fromstring(f'<a b="{svg.escape(text)}">{svg.escape(text)}</a>')
    normal = svg.clean(text).replace("\r\n", "\n").replace("\r", "\n")
    assert found.text in (normal or None, normal)


def test_what_xml_and_utf_8_cannot_hold_is_replaced() -> None:
    assert svg.clean("a\0b\x1b[31m\ud800c\nd\te") == "a\ufffdb\ufffd[31m\ufffdc\nd\te"


@given(st.text(max_size=80), st.floats(30, 400), st.sampled_from([11.0, 13.0]))
def test_fitted_text_is_never_wider_than_its_room(text: str, width: float, size: float) -> None:
    shown = svg.fit(text, width, size)
    assert svg.text_width(shown, size) <= width
    assert "\n" not in shown


def test_text_that_fits_is_shown_whole_and_other_text_ends_with_an_ellipsis() -> None:
    assert svg.fit("extract", 200, 13) == "extract"
    shown = svg.fit("a_very_long_name_of_a_task", 80, 13)
    assert shown.endswith("…")
    assert "a_very_long_name_of_a_task".startswith(shown[:-1])
    assert len(shown) > 4


def test_wide_letters_count_for_more_and_combining_ones_for_nothing() -> None:
    assert svg.text_width("漢字", 10) > svg.text_width("ab", 10)
    assert svg.text_width("e\u0301", 10) == svg.text_width("e", 10)
    assert svg.text_width("W", 20) == 2 * svg.text_width("W", 10)


def test_numbers_have_one_decimal_at_most_and_no_negative_zero() -> None:
    assert [svg.num(value) for value in (1.0, 1.25, 1.26, -0.01, -2.5, 0)] == ["1", "1.2", "1.3", "0", "-2.5", "0"]
