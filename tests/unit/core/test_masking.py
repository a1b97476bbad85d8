"""Masking: no form of a value gets through, however the text is cut into pieces, and nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import shlex
import textwrap
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nbflow.core.masking import SHORTEST, Masker, replacement

URL = "postgres://me:hunter2+/=é@db.example/sales?x=1"
MASKER = Masker({"DB_URL": URL})
MARK = "[secret DB_URL]"

values = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=12, max_size=60)
"""Long enough that base64 inside a larger text has a sure part."""
texts = st.text(max_size=20)


def lines_of_base64(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


NOTATIONS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "repr": repr,
    "repr of repr": lambda text: repr(repr(text)),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "url": lambda text: quote(text, safe=""),
    "url with slashes": quote,
    "form": quote_plus,
    "html": html.escape,
    "html without quotes": lambda text: html.escape(text, quote=False),
    "html with double quotes": lambda text: html.escape(text, quote=False).replace('"', "&quot;"),
    "json in html": lambda text: (
        json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    ),
    "sql": lambda text: text.replace("'", "''"),
    "csv": lambda text: text.replace('"', '""'),
    "shell": shlex.quote,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("name", NOTATIONS)
@given(value=values)
@example(value=URL)
@example(value="'quotes' and \"double\" ones & <tags>")
def test_each_notation_of_a_value_is_masked(name: str, value: str) -> None:
    shown = NOTATIONS[name](value)
    masked = Masker({"X": value}).text(f"before {shown} after")
    assert "[secret X]" in masked
    assert shown not in masked
    assert value not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@given(value=values, before=st.binary(max_size=80), after=st.binary(max_size=80), width=st.sampled_from([0, 64, 76]))
def test_base64_of_a_larger_text(value: str, before: bytes, after: bytes, width: int) -> None:
    shown = base64.b64encode(before + value.encode() + after).decode()
    shown = "\n".join(textwrap.wrap(shown, width)) if width else shown
    masked = Masker({"X": value}).text(shown)
    assert "[secret X]" in masked
    rest = masked.replace("[secret X]", "").replace("\n", "")
    assert len(rest) <= len(base64.b64encode(before + after)) + 8


def test_lines_of_base64_in_a_repr_and_with_indentation() -> None:
    shown = lines_of_base64("x" * 50 + URL)
    for text in (repr(shown), repr(shown.encode()), shown.replace("\n", "\r\n"), textwrap.indent(shown, "    ")):
        assert MARK in MASKER.text(text)


@given(st.data())
def test_a_stream_is_masked_as_its_whole_text(data: st.DataObject) -> None:
    alphabet = st.sampled_from("abcX\n\\ \x1b[m")
    secrets = data.draw(st.dictionaries(st.sampled_from("ABC"), st.text(alphabet, min_size=4, max_size=9), min_size=1))
    masker = Masker(secrets)
    forms = sorted(form.text for form in masker._all.forms)
    pieces = data.draw(st.lists(st.sampled_from([*forms, *secrets.values()]) | st.text(alphabet, max_size=6)))
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    stream = masker.stream()
    parts = [text[first:last] for first, last in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join([*(stream.feed(part) for part in parts), stream.end()]) == masker.text(text)


@given(value=values, before=texts, after=texts, size=st.integers(1, 5))
def test_no_value_survives_being_cut_into_pieces(value: str, before: str, after: str, size: int) -> None:
    text = before + lines_of_base64(value) + value + after
    stream = Masker({"X": value}).stream()
    out = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size)) + stream.end()
    assume(value not in "[secret X]")
    assert value not in out
    assert out.count("[secret X]") >= 2


@pytest.mark.parametrize(
    "sequence", ["\x1b[31m", "\x1b[0;1;38:5:208m", "\x1b]8;;http://x.example/\x1b\\", "\x1b]0;x\x07", "\x1b(B\x1b[m"]
)
@given(value=values, at=st.integers(1, 11), size=st.integers(1, 9))
@example(value=URL, at=2, size=1)
@example(value="\\00000000000", at=1, size=1)
def test_a_value_with_escape_sequences_in_it(sequence: str, value: str, at: int, size: int) -> None:
    masker = Masker({"X": value})
    shown = f"a{sequence}{value[:at]}{sequence}{sequence}{value[at:]}\x1b[0m b"
    masked = masker.text(shown)
    stream = masker.stream()
    assert "[secret X]" in masked
    assert masked.endswith("\x1b[0m b")
    assert value not in masked.replace(sequence, "")
    assert "".join(stream.feed(shown[one : one + size]) for one in range(0, len(shown), size)) + stream.end() == masked
    assert masker.find(shown.encode()) == masker.names({"text": shown}) == ["X"]
    assert masker.find(json.dumps({"text": shown}).encode()) == ["X"]
    assert masker.find(f"\x1b]0;{value}\x07".encode()) == ["X"]


def test_each_character_in_a_colour_of_its_own() -> None:
    shown = "".join(f"\x1b[{31 + number % 6}m{char}\x1b[0m" for number, char in enumerate(URL))
    stream = MASKER.stream()
    assert MASKER.text(shown) == f"\x1b[31m{MARK}\x1b[0m"
    assert "".join([*map(stream.feed, shown), stream.end()]) == f"\x1b[31m{MARK}\x1b[0m"


def test_colours_in_lines_of_base64() -> None:
    shown = lines_of_base64("x" * 50 + URL).replace("\n", "\x1b[0m\n\x1b[32m")
    assert MARK in MASKER.text(shown)
    assert MASKER.find(shown.encode()) == ["DB_URL"]


def test_escape_sequences_hold_nothing_up() -> None:
    stream = MASKER.stream()
    assert stream.feed("a\x1b[31m") == "a\x1b[31m"
    assert stream.feed("p\x1b[3") == ""
    assert stream.feed("1mo") == ""
    assert stream.feed("x") == "p\x1b[31mox"
    assert len(stream.feed("post" + "\x1b[0m" * 10_000 + "\n")) > 40_000


def test_only_what_may_be_the_beginning_of_a_value_is_kept_back() -> None:
    stream = MASKER.stream()
    assert stream.feed("a line\n") == "a line\n"
    assert stream.feed("see post") == "see "
    assert stream.feed("card\n") == "postcard\n"
    assert stream.feed("see " + URL[:20]) == "see "
    assert stream.end() == URL[:20]
    assert stream.feed(URL[20:]) == URL[20:]


def test_the_longest_and_leftmost_wins() -> None:
    masker = Masker({"SHORT": "secret-value", "LONG": "secret-value-of-more"})
    assert masker.text("secret-value-of-more secret-value-of") == "[secret LONG] [secret SHORT]-of"


def test_lines_of_a_value_and_the_password_of_a_url() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END KEY-----\n"
    masker = Masker({"KEY": key, "DB_URL": "postgres://me:p%40ss-w0rd@host/db"})
    assert masker.text("x MIIEvQIBADANBgkqhkiG short") == "x [secret KEY] short"
    assert masker.text("password p@ss-w0rd") == "password [secret DB_URL]"
    assert masker.text("password p%40ss-w0rd of me at host") == "password [secret DB_URL] of me at host"


def test_short_values_are_left_and_told() -> None:
    masker = Masker({"A": "x" * (SHORTEST - 1), "B": "y" * SHORTEST})
    assert masker.unmasked == ("A",)
    assert masker.text("xxx yyyy") == "xxx [secret B]"
    assert not Masker({"A": "x"})
    assert not Masker({})
    assert masker


@given(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_without_secrets_nothing_changes(text: str, value: object) -> None:
    masker = Masker({})
    assert masker.text(text) == text
    assert masker.data(value) == value
    assert masker.stream().feed(text) == text
    assert masker.find(text.encode("utf-8", "replace")) == []
    assert not masker.only({"X"})


def test_data_is_masked_everywhere() -> None:
    masker = Masker({"X": "hunter2", "PIN": "1234"})
    data = {"a": ["hunter2", 1234, 12345, 1.5, True, None], "hunter2": {"b": ("x hunter2",)}}
    assert masker.data(data)["a"][1] == 1234
    assert masker.data(data, numbers=True) == {
        "a": ["[secret X]", "[secret PIN]", 12345, 1.5, True, None],
        "[secret X]": {"b": ["x [secret X]"]},
    }


def test_images_are_left_alone_but_for_what_is_no_chance() -> None:
    masker = Masker({"PIN": "1234", "X": "hunter2-long"})
    image = "iVBOR1234" + base64.b64encode(b"\0hunter2-long\0").decode()
    masked = masker.bundle({"image/png": image, "text/plain": "1234", "image/svg+xml": "<text>1234</text>"})
    assert masked["image/png"].startswith("iVBOR1234")
    assert "[secret X]" in masked["image/png"]
    assert masked["text/plain"] == "[secret PIN]"
    assert masked["image/svg+xml"] == "<text>[secret PIN]</text>"


def test_the_end_of_a_text_that_was_cut_through_a_value() -> None:
    for cut in range(1, len(URL) - SHORTEST):
        assert MASKER.end_of(URL[cut:] + "\nthe end " + URL) == f"{MARK}\nthe end {MARK}"
    assert MASKER.end_of("nothing") == "nothing"


def test_names_are_found_in_files() -> None:
    masker = Masker({"A": "hunter2-x", "B": "swordfish", "C": "absent-one", "D": "by-chan"})
    data = (
        json.dumps({"x": "hunter2-x by-chance " + base64.b64encode(b"..swordfish..").decode()}).encode() + b"\xff\xfe"
    )
    assert masker.find(data) == ["A", "B"]
    assert masker.only(["B"]).find(data) == ["B"]


def test_the_mark_does_not_tell_the_length() -> None:
    assert replacement("X") == "[secret X]"
    assert Masker({"X": "a" * 10}).text("a" * 10) == Masker({"X": "b" * 50}).text("b" * 50)


def test_a_flood_is_not_held_up() -> None:
    stream = Masker({"TOKEN": "ghp_16C7e42F292c6912E7710c838347Ae178B4a"}).stream()
    plain = "2026-01-01 12:00:00 INFO loading chunk 17 of 200 from s3://bucket/key\n" * 1_000
    for chunk, longest in ((plain, 2), (plain.replace("INFO", "\x1b[32mINFO\x1b[0m"), 6)):
        began = time.process_time()
        for _ in range(100):
            assert stream.feed(chunk) == chunk
        assert time.process_time() - began < longest, "7 MB take some 0.15 s, in colours 0.6 s"


def test_a_huge_value() -> None:
    value = "".join(chr(97 + number * number % 26) for number in range(65_000))
    masker = Masker({"X": value})
    stream = masker.stream()
    pieces = [value[at : at + 1_000] for at in range(0, len(value), 1_000)]
    assert "".join([stream.feed(piece) for piece in ["a ", *pieces, " b"]]) + stream.end() == "a [secret X] b"
