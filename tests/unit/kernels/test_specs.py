"""Installed kernels: found, or refused with the names of those that are there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nbflow.errors import NotFoundError
from nbflow.kernels import specs
from nbflow.kernels.specs import KernelSpec, find_kernel, installed_kernels, interpreter_options, why_not_forked


def install(folder: Path, name: str, document: Any) -> None:
    place = folder / "kernels" / name
    place.mkdir(parents=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (place / "kernel.json").write_text(text)


@pytest.fixture(autouse=True)
def jupyter_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    return tmp_path


def test_the_kernel_of_this_python() -> None:
    spec = find_kernel("python3")
    assert spec.language == "python"
    assert spec.runs_ipykernel
    assert spec.interpreter == sys.executable
    assert spec.metadata == {"name": "python3", "language": "python", "display_name": spec.display_name}
    assert "python3" in installed_kernels()


def test_another_one(tmp_path: Path) -> None:
    argv = ["/usr/bin/R", "-e", "IRkernel::main()", "{connection_file}"]
    install(tmp_path, "ir", {"argv": argv, "display_name": "R", "language": "R", "interrupt_mode": "message"})
    assert find_kernel("ir") == KernelSpec(
        name="ir", display_name="R", language="R", argv=tuple(argv), interrupt_mode="message"
    )
    assert not find_kernel("ir").runs_ipykernel
    assert find_kernel("ir").interpreter == "/usr/bin/R"


@pytest.mark.parametrize("name", ["none", "../python3", "with space", "é"])
def test_one_that_is_not_there(name: str) -> None:
    with pytest.raises(NotFoundError, match=r"is not installed here \(installed: .*python3") as caught:
        find_kernel(name)
    assert caught.value.hint is not None


@pytest.mark.parametrize("document", ["{", "[]", {"argv": 1, "display_name": 2}, {"argv": []}])
def test_one_whose_file_is_damaged(tmp_path: Path, document: Any) -> None:
    install(tmp_path, "broken", document)
    with pytest.raises(NotFoundError, match="broken"):
        find_kernel("broken")


def test_plain_ones_are_found_as_jupyter_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["python", "-m", "mine", "{connection_file}"]
    install(tmp_path, "Mine", {"argv": argv, "display_name": "M", "language": "python", "env": {"A": "1"}})
    install(tmp_path / "second", "mine", {"argv": ["other"], "display_name": "N", "language": "r"})
    (tmp_path / "second/kernels/alone").mkdir()
    monkeypatch.setenv("JUPYTER_PATH", f"{tmp_path}:{tmp_path / 'second'}")
    quick = [find_kernel("mine"), find_kernel("python3")]
    monkeypatch.setattr(specs, "_plain_kernel", lambda _: None)
    assert quick == [find_kernel("mine"), find_kernel("python3")]
    assert quick[0].env == {"A": "1"}


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}},
        {"interrupt_mode": "odd"},
        {"env": []},
        {"argv": ["x", 1]},
    ],
)
def test_what_is_not_plain_is_left_to_jupyter(tmp_path: Path, fields: dict[str, Any]) -> None:
    install(tmp_path, "odd", {"argv": ["x"], "display_name": "O", "language": "python", **fields})
    assert specs._plain_kernel("odd") is None


ORDINARY = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")


@pytest.mark.parametrize(
    ("argv", "fields", "reason"),
    [
        (ORDINARY, {}, None),
        (("/x/python", "-Xfrozen_modules=off", *ORDINARY[1:]), {}, None),
        (("/x/python", "-m", "ipykernel", "-f", "{connection_file}"), {"env": {"A": "b"}}, None),
        ((*ORDINARY, "--debug"), {}, "options of its own"),
        (("conda", "run", *ORDINARY), {}, "options of its own"),
        (("python", "-c", "x", "{connection_file}"), {}, "only Python kernels"),
        (ORDINARY, {"interrupt_mode": "message"}, "by message"),
        (ORDINARY, {"env": {"A": "${B}"}}, "refer to others"),
        (ORDINARY, {"provisioner": "far-away"}, '"far-away"'),
    ],
)
def test_which_can_be_forked(argv: tuple[str, ...], fields: dict[str, Any], reason: str | None) -> None:
    spec = KernelSpec(name="x", display_name="X", language="python", argv=argv, **fields)
    found = why_not_forked(spec)
    assert found is reason is None or (reason is not None and reason in str(found))
    assert interpreter_options(spec) == [word for word in argv if word.startswith("-X")]


def test_the_provisioner_of_nbflow_is_no_other_one(tmp_path: Path) -> None:
    chosen = {"kernel_provisioner": {"provisioner_name": "nbflow"}}
    install(tmp_path, "forked", {"argv": [*ORDINARY], "display_name": "F", "language": "python", "metadata": chosen})
    assert find_kernel("forked").provisioner is None
