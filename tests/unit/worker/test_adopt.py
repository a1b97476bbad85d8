"""An archived notebook tells the outcome of its attempt, as the journal gave it once; nothing of it is touched."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import codec, values
from nbflow.core.attempt import CellState, Outcome, TaskError, Verdict, WorkOrder
from nbflow.worker.adopt import adopted, told
from nbflow.worker.fold import Folded, fold
from nbflow.worker.publish import publish
from nbflow.worker.snapshot import dumps
from support.attempts import notebook, order
from support.exact import exact_values, same
from support.strategies import instances, texts

AT = "2026-01-31T02:00:00.000Z"
SUCCEEDED = {"type": "ended", "at": AT, "verdict": "succeeded", "error": None, "stopped_at": None, "duration": 2.0}
FOLDER = "sales/sales-1"


def header(one: WorkOrder | None = None) -> dict[str, Any]:
    about = {"run": "r", "pipeline": "p", "task": "t", "attempt": 1, "slug": "t", "logical_date": AT}
    return {
        "type": "attempt",
        "version": 1,
        "at": AT,
        "order": about if one is None else codec.dump(one),
        "parameters": {},
        "source": {"path": "a.ipynb", "sha256": "0", "changed": False},
        "document": notebook("1", {"cell_type": "markdown", "metadata": {}, "source": "text"}, "2", "3"),
        "kernel": {"name": "python3", "display_name": "Python", "language": "python"},
        "environment": {"host": "h"},
        "worker": {"pid": 1, "started": 0.0},
    }


def again(folded: Folded) -> Outcome:
    """What the notebook tells once it has been written and read."""
    return told(json.loads(dumps(folded.document)))


def of_cell(index: int, state: CellState) -> list[dict[str, Any]]:
    began = {"type": "cell_started", "cell": index, "at": AT}
    over = {"type": "cell_ended", "cell": index, "state": state.value, "at": AT, "duration": 1.5, "cpu": 0.5}
    match state:
        case CellState.NOT_RUN:
            return []
        case CellState.SKIPPED:
            return [over]
        case CellState.KILLED:
            return [began]
        case _:
            return [began, over]


@given(
    st.lists(st.sampled_from(CellState), min_size=3, max_size=3),
    st.sampled_from(Verdict),
    st.none() | instances(TaskError),
    st.none() | st.integers(0, 3),
    st.none() | st.floats(0, 1e6),
    st.none() | st.fixed_dictionaries({"cpu": st.none() | st.floats(0, 1e6), "memory": st.none() | st.integers(0)}),
    st.lists(texts, max_size=22),
)
def test_the_same_outcome(
    states: list[CellState],
    verdict: Verdict,
    error: TaskError | None,
    stopped_at: int | None,
    duration: float | None,
    used: dict[str, Any] | None,
    left: list[str],
) -> None:
    end = {"verdict": verdict.value, "error": None if error is None else codec.dump(error), "stopped_at": stopped_at}
    folded = fold(
        [
            header(),
            *(record for index, state in zip((0, 2, 3), states, strict=True) for record in of_cell(index, state)),
            *({"type": "left_behind", "process": process} for process in left),
            *([{"type": "kernel_ended", **used}] if used else []),
            {"type": "ended", "at": AT, **end, "duration": duration},
        ]
    )
    assert again(folded) == folded.outcome


@given(st.dictionaries(texts, exact_values, max_size=4))
def test_the_same_outputs(found: dict[str, Any]) -> None:
    """Their types, and the order of what is in them, too."""
    records = [{"type": "value", "name": name, "value": values.encode(value)} for name, value in found.items()]
    folded = fold([header(), *records, SUCCEEDED])
    outputs = again(folded).outputs
    assert outputs.keys() == found.keys()
    assert all(same(values.decode(outputs[name]), value) for name, value in found.items())


def test_only_what_json_cannot_tell_is_told_twice() -> None:
    told_plainly = {"rows": 3, "by": {"a": [1.5, None], "b": "x"}}
    records = [{"type": "value", "name": name, "value": value} for name, value in told_plainly.items()]
    facts = fold([header(), *records, SUCCEEDED]).document["metadata"]["nbflow"]
    assert facts["outputs"] == told_plainly
    assert not facts.keys() & {"outputs_exact", "left_behind"}
    day = {"type": "value", "name": "day", "value": {"$date": "2026-01-31"}}
    facts = fold([header(), *records, day, SUCCEEDED]).document["metadata"]["nbflow"]
    assert facts["outputs"] == {**told_plainly, "day": "2026-01-31"}
    assert facts["outputs_exact"] == {"day": '{"$date": "2026-01-31"}'}


def in_archive(one: WorkOrder, *records: dict[str, Any]) -> Outcome:
    """Publish the notebook of an attempt; its outcome without files."""
    folded = fold([header(one), *(records or (SUCCEEDED,))])
    publish(one, folded.document)
    return folded.outcome


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("made_way", [False, True])
def test_the_files_are_those_that_are_there(tmp_path: Path, made_way: bool) -> None:
    one = order(tmp_path)
    outcome = in_archive(one)
    if made_way:
        in_archive(order(tmp_path, attempt=2))
    before = files(tmp_path / "outputs")
    found = adopted(one)
    assert found is not None
    place = f"{FOLDER}/attempts/clean.1" if made_way else f"{FOLDER}/clean"
    assert [file.path for file in found.files] == [f"{place}.ipynb", f"{place}.html"]
    for file in found.files:
        assert (file.size, file.sha256) == (len(before[file.path]), sha256(before[file.path]).hexdigest())
    assert {**codec.dump(found), "files": []} == {**codec.dump(outcome), "files": []}
    assert files(tmp_path / "outputs") == before
    (tmp_path / "outputs" / f"{place}.html").unlink()
    again = adopted(one)
    assert again is not None
    assert [file.path for file in again.files] == [f"{place}.ipynb"]


@pytest.mark.parametrize("other", [{"run": "sales-2"}, {"pipeline": "x"}, {"task": "x"}, {"attempt": 2}])
def test_a_notebook_of_something_else_is_not_adopted(tmp_path: Path, other: dict[str, Any]) -> None:
    in_archive(order(tmp_path, **other))
    assert adopted(order(tmp_path)) is None


def test_without_an_end_it_is_not_adopted(tmp_path: Path) -> None:
    one = order(tmp_path)
    assert adopted(one) is None
    in_archive(one, {"type": "cell_started", "cell": 0, "at": AT})
    assert adopted(one) is None


def damage(facts: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**facts, key: value} if value is not ... else {name: one for name, one in facts.items() if name != key}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "transcended"),
        ("error", "text"),
        ("error", ...),
        ("outputs", {"day": {"$day": 1}}),
        ("outputs", None),
        ("outputs_exact", {"day": "{"}),
        ("environment", {}),
        ("run", ...),
    ],
)
def test_what_cannot_be_read_is_not_adopted(tmp_path: Path, key: str, value: Any) -> None:
    one = order(tmp_path)
    in_archive(one, {"type": "value", "name": "day", "value": "x"}, SUCCEEDED)
    place = tmp_path / "outputs" / FOLDER / "clean.ipynb"
    document = json.loads(place.read_bytes())
    document["metadata"]["nbflow"] = damage(document["metadata"]["nbflow"], key, value)
    place.write_text(json.dumps(document), "utf-8")
    assert adopted(one) is None
    place.write_text(json.dumps(document)[:-50], "utf-8")
    assert adopted(one) is None
    place.write_text("[" * 100_000, "utf-8")
    assert adopted(one) is None
