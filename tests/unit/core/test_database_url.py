"""URLs of PostgreSQL stores: which can be one, and that no password is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbflow.core.database_url import fault, has_password, is_database, shown

GOOD = {
    "postgresql://": "postgresql:///",
    "postgresql:///nbflow": "postgresql:///nbflow",
    "postgres://me@db.example/nbflow": "postgresql://db.example/nbflow",
    "postgresql://me:pw@db.example:5433/nbflow": "postgresql://db.example:5433/nbflow",
    "postgresql://me:p%40w@[2001:db8::1]:5433/nbflow": "postgresql://[2001:db8::1]:5433/nbflow",
    "postgresql://me:pw@one:1,two:2,three/db": "postgresql://one:1,two:2,three/db",
    "postgresql://me:p?w@h/db": "postgresql://h/db",
    "postgresql:///db?host=/run/pg&user=me&password=pw": "postgresql:///db?host=/run/pg",
    "postgresql://?service=mine&sslpassword=pw&port=1": "postgresql:///?service=mine&port=1",
    "postgresql://h/db?options=-csearch_path%3Dmine": "postgresql://h/db",
}
BAD = [
    "postgresql:/h/db",
    "postgresql://me:p/w@h/db",
    "postgresql://me:p@w@h/db",
    "postgresql://me:p%w@h/db",
    "postgresql://me:p%00w@h/db",
    "postgresql://me:p#w/x",
    "postgresql://me:pw",
    "postgresql://h:12x/db",
    "postgresql://h/db?password=p@w",
    "postgresql://h/db?pw",
    "postgresql://h/db?=pw",
    "postgresql://h/d b",
    "postgresql://h/d\nb",
    "postgresql://h/db/pw",
]
TEXT = st.text(st.sampled_from("/@:?#%&=, [].pw1\n\x00é"), max_size=12)


@pytest.mark.parametrize("url", GOOD)
def test_what_can_be_one_is_shown_without_its_user(url: str) -> None:
    assert is_database(url)
    assert fault(url) is None
    assert shown(url) == GOOD[url]


@pytest.mark.parametrize("url", BAD)
def test_of_what_can_be_none_nothing_is_shown(url: str) -> None:
    assert fault(url) is not None
    assert "pw" not in str(fault(url))
    assert shown(url) == "postgresql://"


@pytest.mark.parametrize("text", ["state.db", "s3://bucket/x", "postgres", "mysql://h/db", "", "./postgresql://h"])
def test_other_places(text: str) -> None:
    assert not is_database(text)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://me:pw@h/db", True),
        ("postgresql://h/db?password=pw", True),
        ("postgresql://h/db?sslpassword=pw", True),
        ("postgresql://me@h/db", False),
        ("postgresql://h:1/db?passfile=/x", False),
    ],
)
def test_whether_it_tells_a_password(url: str, wanted: bool) -> None:
    assert has_password(url) is wanted


@given(TEXT, TEXT, TEXT)
@example("/", "", "")
@example("@", "/", "?")
def test_a_password_is_never_shown_however_it_is_written(before: str, middle: str, after: str) -> None:
    password = f"{before}SECRET{middle}WORD{after}"
    for url in (f"postgresql://me:{password}@h/db", f"postgresql://h/db?password={password}&port=1"):
        for said in (shown(url), str(fault(url))):
            assert "SECRET" not in said
            assert "WORD" not in said
