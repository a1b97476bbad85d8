"""The selection syntax."""

from __future__ import annotations

import pytest

from nbflow.core.selection import Facts, Previous, select
from nbflow.core.spec import Matrix, Pipeline, Task
from nbflow.errors import NotFoundError, UsageError

#  a -> b -> d -> e
#  a -> c -> d        f alone
TASKS = {
    "a": Task(name="a", notebook="a.ipynb", tags=("nightly", "slow")),
    "b": Task(name="b", notebook="b.ipynb", needs=("a",), tags=("nightly",)),
    "c": Task(name="c", notebook="c.ipynb", needs=("a",)),
    "d": Task(name="d", notebook="d.ipynb", needs=("b", "c")),
    "e": Task(name="e", notebook="e.ipynb", needs=("d",)),
    "f": Task(name="f", notebook="f.ipynb"),
}
PIPELINE = Pipeline(name="p", tasks=TASKS)
FACTS = Facts(
    previous=Previous(
        states={"a": frozenset({"succeeded"}), "b": frozenset({"failed", "succeeded"}), "c": frozenset({"failed"})},
        sources={"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"},
    ),
    sources={"a": "1", "b": "2x", "c": "3", "d": "4", "e": "5", "f": "6"},
)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], "abcdef"),
        (["a"], "a"),
        (["+d"], "abcd"),
        (["d+"], "de"),
        (["+d+"], "abcde"),
        (["1+d"], "bcd"),
        (["1+e"], "de"),
        (["2+e"], "bcde"),
        (["a+1"], "abc"),
        (["1+d+1"], "bcde"),
        (["a f"], "af"),
        (["a", "f"], "af"),
        (["+d,b+"], "bd"),
        (["tag:nightly"], "ab"),
        (["tag:slow+1"], "abc"),
        (["tag:none-such", "f"], "f"),
        (["[ab]"], "ab"),
        (["[ab]* f"], "abf"),
        (["[a,b],tag:slow"], "a"),
        (["1+[d]"], "bcd"),
        (["a  f\tb"], "abf"),
        (["*"], "abcdef"),
        (["status:failed"], "bc"),
        (["state:modified"], "bf"),
        (["state:modified+"], "bdef"),
    ],
)
def test_terms(terms: list[str], expected: str) -> None:
    assert select(PIPELINE, terms, [], FACTS) == frozenset(expected)


@pytest.mark.parametrize(("exclude", "expected"), [(["d+"], "abcf"), (["a f", "tag:nightly"], "cde")])
def test_exclude(exclude: list[str], expected: str) -> None:
    assert select(PIPELINE, [], exclude, FACTS) == frozenset(expected)


def test_exclude_wins_over_select() -> None:
    assert select(PIPELINE, ["+d"], ["b"], FACTS) == frozenset("acd")


def test_unknown_task_names_the_nearest() -> None:
    pipeline = Pipeline(name="p", tasks={"extract": Task(name="extract", notebook="x.ipynb")})
    with pytest.raises(NotFoundError, match="no task 'extrat'") as caught:
        select(pipeline, ["+extrat"], [], Facts())
    assert caught.value.hint == "did you mean 'extract'?"


@pytest.mark.parametrize("term", ["+", "++a", "a++", "x+a", "+a+b", "foo:bar", "status:broken", "state:new", "asset:x"])
def test_no_selection(term: str) -> None:
    with pytest.raises((UsageError, NotFoundError)):
        select(PIPELINE, [term], [], FACTS)


@pytest.mark.parametrize("term", ["status:failed", "state:modified"])
def test_history_is_needed(term: str) -> None:
    with pytest.raises(UsageError, match="no earlier run"):
        select(PIPELINE, [term], [], Facts())


def test_nothing_left() -> None:
    with pytest.raises(UsageError, match="leaves no task"):
        select(PIPELINE, ["a"], ["a"], FACTS)


def test_a_wide_graph_is_walked_without_recursion() -> None:
    tasks = {f"t{i}": Task(name=f"t{i}", notebook="x.ipynb", needs=(f"t{i - 1}",) if i else ()) for i in range(20_000)}
    assert len(select(Pipeline(name="p", tasks=tasks), ["t0+"], [], Facts())) == 20_000


@pytest.mark.parametrize(
    "copy", ["train[ridge,eu]", "train[a model,eu]", "train[1+2,eu]", "train[at 6:00]", "+train[ridge,eu]+"]
)
def test_a_copy_is_refused_with_what_to_do(copy: str) -> None:
    matrix = Matrix(axes={"model": ("ridge",), "region": ("eu",)})
    tasks = {"train": Task(name="train", notebook="train.ipynb", matrix=matrix)}
    with pytest.raises(UsageError, match="is a copy") as caught:
        select(Pipeline(name="p", tasks=tasks), [copy], [], Facts())
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("select its task 'train'")
    assert f"nbflow test 'p.{copy.strip('+')}'" in caught.value.hint


def test_brackets_after_a_task_without_copies_are_a_pattern() -> None:
    tasks = {"x1": Task(name="x1", notebook="x.ipynb"), "x": Task(name="x", notebook="x.ipynb")}
    assert select(Pipeline(name="p", tasks=tasks), ["x[12]"], [], Facts()) == {"x1"}
    with pytest.raises(NotFoundError):
        select(Pipeline(name="p", tasks=tasks), ["x[3]"], [], Facts())
