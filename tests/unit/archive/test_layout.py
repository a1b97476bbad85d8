"""Paths of the archive, and names that must never become part of one."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.archive import layout
from nbflow.errors import UsageError

RUN = "sales-20260131T060000-k3fa"
HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "..\\x",
    "C:",
    "a\0b",
    "a\nb",
    "%2e%2e",
    "a b",
    "-rf",
    "trailing.",
    "con",
    "NUL.txt",
    "Com1",
    "ž",
    "x" * 201,
]


def test_a_run_lies_where_the_contract_says() -> None:
    folder = layout.run_folder("sales", RUN)
    assert folder == f"sales/{RUN}"
    assert layout.index_path(folder) == f"sales/{RUN}/index.html"
    assert layout.manifest_path(folder) == f"sales/{RUN}/run.json"
    assert layout.notebook_path(folder, "train.ridge-eu") == f"sales/{RUN}/train.ridge-eu.ipynb"
    assert layout.page_path(folder, "train.ridge-eu") == f"sales/{RUN}/train.ridge-eu.html"
    assert layout.attempt_path(folder, "clean", 2) == f"sales/{RUN}/attempts/clean.2.ipynb"
    assert layout.attempt_path(folder, "clean", 2, ".html") == f"sales/{RUN}/attempts/clean.2.html"


def test_journals_lie_below_the_state_folder() -> None:
    assert layout.journal_path(RUN, "clean", 1) == f".nbflow/journals/{RUN}/clean.1.jsonl"
    assert layout.journal_path(RUN, "clean", 1).startswith(layout.journal_folder(RUN) + "/")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_that_could_lead_elsewhere_are_refused(hostile: str) -> None:
    with pytest.raises(UsageError, match="cannot be a file name"):
        layout.run_folder(hostile, RUN)
    with pytest.raises(UsageError):
        layout.run_folder("sales", hostile)
    with pytest.raises(UsageError):
        layout.journal_folder(hostile)


@pytest.mark.parametrize("hostile", ["../../x", "a/b", "x/../../y", "con", "a\0"])
def test_slugs_are_judged_with_their_suffix(hostile: str) -> None:
    for make in (layout.notebook_path, layout.page_path):
        with pytest.raises(UsageError):
            make(f"sales/{RUN}", hostile)
    with pytest.raises(UsageError):
        layout.attempt_path(f"sales/{RUN}", hostile, 1)


@pytest.mark.parametrize("folder", ["", "/", "sales/", "/sales", "sales//x", "sales/../x", "../sales", "sales/./x"])
def test_folders_are_judged_part_by_part(folder: str) -> None:
    with pytest.raises(UsageError):
        layout.notebook_path(folder, "clean")


def test_the_message_of_a_refusal_holds_no_control_characters_and_stays_short() -> None:
    with pytest.raises(UsageError) as caught:
        layout.checked_name("\x1b]0;x\x07" * 100)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@given(st.text(max_size=40))
def test_what_is_allowed_is_one_ordinary_name(text: str) -> None:
    try:
        layout.checked_name(text)
    except UsageError:
        return
    assert PurePosixPath("root", text).parts == ("root", text)
    assert text.isascii()
    assert text not in {".", ".."}
    assert not text.startswith("-")
