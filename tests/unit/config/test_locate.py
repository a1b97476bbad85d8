"""Places of keys, against tomllib as the judge of what is there."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.config.locate import KeyPath, Place, locate


def walk(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from walk(child, (*path, key))


def text_at(text: str, line: int, col: int) -> str:
    return text.split("\n")[line - 1][col - 1 :]


def key_at(text: str, place: Place) -> str:
    """The key that stands at a place, read by tomllib itself."""
    rest = text_at(text, place.line, place.col)
    match = re.match(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""", rest)
    assert match, rest
    return next(iter(tomllib.loads(f"{match[0]} = 1")))


# --- a generator of TOML texts -------------------------------------------------------------------------------

bare = st.text("abcxyz019_-", min_size=1, max_size=4)
inner = st.text(st.sampled_from("ab \t.=#[]{},'é→"), max_size=5)
scalars = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(["true", "1.5", "inf", "1979-05-27", "1979-05-27 07:32:00", "07:32:00", "0xff", "1e5"]),
    inner.map(lambda s: '"' + s.replace("\t", "\\t") + '\\"\\\\"'),
    inner.map(lambda s: "'" + s.replace("'", "") + "'"),
    inner.map(lambda s: '"""\n' + s + '\n"x" ""\\"""" ""\\\n  [y] # \\""""""'.replace('""""""', '"""')),
    inner.map(lambda s: "'''" + s.replace("'", "") + "\n'x' = 1 ''y'''"),
)
gaps = st.sampled_from(["", " ", "\n", " # c ]},[{\n", "\n\n\t"])


@st.composite
def keys(draw: st.DrawFn) -> str:
    name = draw(st.one_of(bare, inner))
    if name and set(name) <= set("abcxyz019_-") and draw(st.booleans()):
        return name
    if "'" not in name and draw(st.booleans()):
        return f"'{name}'"
    return '"' + name.replace("\t", "\\t").replace("é", "\\u00e9") + '"'


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(values, max_size=4))
    text = "[" + draw(gaps)
    for index, item in enumerate(items):
        comma = "," if index < len(items) - 1 or draw(st.booleans()) else ""
        text += item + draw(gaps) + comma + draw(gaps)
    return text + "]"


@st.composite
def dotted(draw: st.DrawFn, count: int = 3) -> str:
    return draw(st.sampled_from([".", " . ", "\t."])).join(draw(st.lists(keys(), min_size=1, max_size=count)))


@st.composite
def tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(dotted(2), values), max_size=3))
    return "{ " + " , ".join(f"{key} = {value}" for key, value in pairs) + " }"


values = st.recursive(scalars, lambda v: st.one_of(arrays(v), tables(v)), max_leaves=6)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        match draw(st.integers(0, 3)):
            case 0:
                lines.append(f"[{draw(dotted())}]")
            case 1:
                lines.append(f"[[ {draw(dotted())} ]]  # array")
            case _:
                lines.append(draw(st.sampled_from(["", "  "])) + f"{draw(dotted())} = {draw(values)}")
        lines.append(draw(st.sampled_from(["", "# comment [x]", "\t"])))
    return "\n".join(lines)


@given(documents())
def test_every_key_that_tomllib_finds_has_a_place_at_its_text(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = locate(text)
    assert set(found) == set(walk(data))
    for path, place in found.items():
        if isinstance(path[-1], str):
            assert key_at(text, place) == path[-1]


@given(documents())
def test_the_value_of_a_pair_starts_at_its_place(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for place in locate(text).values():
        rest = text_at(text, place.value_line, place.value_col)
        assert rest
        assert rest[0] not in " \t,#="


def test_places_in_a_small_file() -> None:
    text = "\n".join(  # noqa: FLY002
        [
            "[pipelines.a.tasks]",
            'x = { notebook = "x.ipynb", needs = [ "y",',
            '  "z" ] }',
            "[[checks]]",
            "n = 1",
            "[[checks]]",
            "  n.m = 2",
            "[checks.sub]",
            "q = 1",
        ]
    )
    found = locate(text)
    assert found["pipelines",] == Place(1, 2, 1, 2)
    assert found["pipelines", "a", "tasks"] == Place(1, 14, 1, 14)
    assert found["pipelines", "a", "tasks", "x"] == Place(2, 1, 2, 5)
    assert found["pipelines", "a", "tasks", "x", "notebook"] == Place(2, 7, 2, 18)
    assert found["pipelines", "a", "tasks", "x", "needs", 0] == Place(2, 39, 2, 39)
    assert found["pipelines", "a", "tasks", "x", "needs", 1] == Place(3, 3, 3, 3)
    assert found["checks", 0, "n"] == Place(5, 1, 5, 5)
    assert found["checks", 1] == Place(6, 3, 6, 3)
    assert found["checks", 1, "n", "m"] == Place(7, 5, 7, 9)
    assert found["checks", 1, "sub", "q"] == Place(9, 1, 9, 5)


def test_a_table_that_is_declared_after_its_child_has_its_own_header() -> None:
    assert locate("[a.b]\nx = 1\n[a]\ny = 2\n")["a",] == Place(3, 2, 3, 2)


def test_text_that_is_not_toml_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(ValueError, match="not valid TOML"):
        locate("= 1")


def test_time_is_linear() -> None:
    def seconds(count: int) -> float:
        text = "".join(f'[pipelines.p.tasks.t{i}]\nnotebook = "a.ipynb"\nneeds = ["t{i}"]\n' for i in range(count))
        start = time.process_time()
        assert len(locate(text)) == 3 + 4 * count
        return time.process_time() - start

    small = min(seconds(1_000) for _ in range(3))
    assert seconds(10_000) < 10 * small * 4
