"""What is typed for a run: parameters, files of parameters, dates."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.cli.options import parse_date, parse_texts, read_params, request_of
from nbflow.errors import UsageError
from support.commands import Shell

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(st.dictionaries(NAMES, st.text()))
def test_texts_are_taken_as_they_are(given: dict[str, str]) -> None:
    assert parse_texts([f"{name}={value}" for name, value in given.items()]) == given


def test_a_value_may_hold_equals_signs_and_the_last_one_counts() -> None:
    assert parse_texts(["a=b=c", "a=", "url=x?y=1"]) == {"a": "", "url": "x?y=1"}


@pytest.mark.parametrize("text", ["region", "=eu", "", " =x"])
def test_what_is_no_pair_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError, match=f"-p '{text}'"):
        parse_texts([text])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-31", date(2026, 1, 31)),
        ("2026-01-31T06:00", datetime(2026, 1, 31, 6)),  # noqa: DTZ001 - without an offset
        ("2026-01-31T06:00:00Z", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (None, None),
    ],
)
def test_dates(text: str | None, value: date | None) -> None:
    found = parse_date(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-1-1", "31.1.2026", "2026-01-31T25:00"])
def test_what_is_no_date_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError, match=f"--date '{text}'"):
        parse_date(text)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("p.json", '{"region": "eu", "limit": 3}', {"region": "eu", "limit": 3}),
        ("p.toml", 'region = "eu"\r\nday = 2026-01-31\r\n', {"region": "eu", "day": date(2026, 1, 31)}),
        ("p", ' \n{"a": [1, null]}', {"a": [1, None]}),
        ("p.txt", "a = 1.5", {"a": 1.5}),
        ("p.json", '\ufeff{"a": 1}', {"a": 1}),
        ("p.toml", "", {}),
    ],
)
def test_files_of_parameters_are_typed(name: str, text: str, values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8", newline="")
    assert read_params(tmp_path / name) == values


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.json", b"[1]", "not a table"),
        ("p.json", b'{"a": 1', "not valid JSON.*line 1 column"),
        ("p.json", b'{"a": 1, "a": 2}', 'the key "a" is there twice'),
        ("p.json", b"[" * 100_000, "nested too deeply"),
        ("p.toml", b"a = 1\nb =\n", "not valid TOML.*line 2"),
        ("p.toml", b"a = " + b"[" * 2_000, "nested too deeply"),
        ("p.toml", b"\xff\xfe", "not UTF-8 at byte 0"),
        ("p.json", b" " * 10_000_001, "more than 10 MB"),
    ],
)
def test_bad_files_of_parameters(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        read_params(tmp_path / name)
    assert name in str(caught.value)


def test_a_file_of_parameters_has_to_be_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json", Path("a\0b")):
        with pytest.raises(UsageError, match="--params-file"):
            read_params(path)


def test_a_pipe_is_a_file_of_parameters_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("a = 1"))
    writer.start()
    assert read_params(path) == {"a": 1}
    writer.join()


def test_the_request(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"limit": 3}))
    request = request_of(
        {"param": ["region=us"], "params_file": tmp_path / "p.json", "logical_date": "2026-01-31"},
        {"select": ["+clean"], "exclude": ["train"], "force": False},
        parallel=2,
        fail_fast=True,
        executor="inline",
    )
    assert request.params == {"limit": 3}
    assert request.texts == {"region": "us"}
    assert request.logical_date == date(2026, 1, 31)
    assert (request.select, request.exclude) == (["+clean"], ["train"])
    assert (request.jobs, request.fail_fast, request.executor, request.trigger) == (2, True, "inline", "manual")


def test_a_text_goes_over_the_file_and_the_file_over_the_default(shell: Shell) -> None:
    shell.folder.write("p.toml", "region = 'us'\nlimit = 5\n")
    document = shell("run", "sales", "--params-file", "p.toml", "-p", "limit=7", "--json").lines[-1]
    assert document["params"] == {"region": "us", "limit": 7}
