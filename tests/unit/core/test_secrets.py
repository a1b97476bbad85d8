"""References to secrets: what is one, which variables may be secret, what kernels must not inherit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.secrets import BadReference, Reference, Scheme, parse_reference, variable_fault, withheld
from nbflow.core.spec import Pipeline, ProjectSpec, Task


@pytest.mark.parametrize(
    ("text", "scheme", "target"),
    [
        ("env:WAREHOUSE_URL", Scheme.ENV, "WAREHOUSE_URL"),
        ("env:_x1", Scheme.ENV, "_x1"),
        ("file:/run/secrets/x", Scheme.FILE, "/run/secrets/x"),
        ("file:secrets/x y", Scheme.FILE, "secrets/x y"),
        ("cmd:pass show 'a b'", Scheme.CMD, "pass show 'a b'"),
        ("keyring:https://a/b/me@x.cz", Scheme.KEYRING, "https://a/b/me@x.cz"),
    ],
)
def test_references(text: str, scheme: Scheme, target: str) -> None:
    assert parse_reference(text) == Reference(scheme, target)


def test_a_command_is_split_into_words_and_no_shell_reads_it() -> None:
    assert parse_reference("cmd:pass show 'a b' $(id) | x").words == ["pass", "show", "a b", "$(id)", "|", "x"]


def test_a_service_of_a_keyring_may_hold_slashes() -> None:
    assert parse_reference("keyring:https://a/b/me").entry == ("https://a/b", "me")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("postgres://me:pw@host", "not a reference", "a reference is one of"),
        ("hunter2", "not a reference", "a reference is one of"),
        ("", "not a reference", "a reference is one of"),
        ("evn:X", "not a reference", 'did you mean "env:..."?'),
        ("ENV:X", "not a reference", 'did you mean "env:..."?'),
        ("key-ring:a/b", "not a reference", 'did you mean "keyring:..."?'),
        ("env:", "nothing stands behind `env:`", 'such as "env:WAREHOUSE_URL"'),
        ("file:  ", "nothing stands behind `file:`", "such as"),
        ("env:A-B", "no name of an environment variable", "such as"),
        ("env: A", "no name of an environment variable", "such as"),
        ("file:~/x", '"~" is not expanded', "such as"),
        ("file:a\0b", "no NUL", None),
        ("cmd:pass 'x", "cannot be split into words: no closing quotation", "such as"),
        ("cmd:#", None, None),
        ("keyring:x", "a service and a name", "such as"),
        ("keyring:/x", "a service and a name", "such as"),
        ("keyring:x/", "a service and a name", "such as"),
        ("env:" + "X" * 4_000, "at most 4,000 characters", None),
    ],
)
def test_what_is_no_reference(text: str, message: str | None, hint: str | None) -> None:
    if message is None:
        assert parse_reference(text)
        return
    with pytest.raises(BadReference) as caught:
        parse_reference(text)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@given(st.text(alphabet="abXY09!:/ ", min_size=8).filter(lambda text: not text.startswith(tuple(Scheme))))
def test_a_message_never_shows_what_may_be_the_secret(text: str) -> None:
    with pytest.raises(BadReference) as caught:
        parse_reference(text)
    assert text not in caught.value.message
    assert text not in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["DB_URL", "db_url", "_X", "A1", "GITHUB_TOKEN", "USERNAME", "PYPI_TOKEN"])
def test_variables_that_may_be_secret(name: str) -> None:
    assert variable_fault(name) is None


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", "A" * 129, "A\n"])
def test_what_is_no_name_of_a_variable(name: str) -> None:
    assert "a name is" in (variable_fault(name) or "")


@pytest.mark.parametrize(
    "name", ["PATH", "path", "HOME", "PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "NBFLOW_RUN", "BASH_ENV", "R_HOME"]
)
def test_variables_that_decide_which_programs_run(name: str) -> None:
    assert "decides which programs run" in (variable_fault(name) or "")


def test_withheld_are_the_variables_of_all_references() -> None:
    tasks = {
        "a": Task(name="a", notebook="a.ipynb", secrets={"A": "env:X", "B": "file:env"}),
        "b": Task(name="b", notebook="b.ipynb", secrets={"C": "env:Y", "D": "cmd:env:Z"}),
    }
    other = Pipeline(name="q", tasks={"c": Task(name="c", notebook="c.ipynb", secrets={"A": "env:W"})})
    pipelines = {"p": Pipeline(name="p", tasks=tasks), "q": other}
    spec = ProjectSpec(root="/p", file="pipelines.toml", pipelines=pipelines, outputs="/p/o", state="/p/s")
    assert withheld(spec) == {"X", "Y", "W"}
