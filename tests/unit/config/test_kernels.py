"""`[kernels.NAME]`: what it may hold, read and described alike."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from nbflow.config.kernels import KernelField, PreloadField, kernel_fault
from nbflow.config.shape import MISSING, Reading
from nbflow.core.spec import Preload, PreloadMode
from support.folders import Folder


def read(kind: PreloadField | KernelField, value: Any) -> tuple[Any, list[str]]:
    """What was read, and faults."""
    reading = Reading()
    found = kind.read(value, ("kernels", "k"), reading)
    assert jsonschema.Draft202012Validator(kind.schema()).is_valid(value) is (
        not [fault for fault in reading.faults if not fault.message.startswith("not supported yet")]
    )
    return found, [f"{fault.message} / {fault.hint}" for fault in reading.faults]


@pytest.mark.parametrize(
    ("value", "preload"),
    [
        ("auto", Preload()),
        (False, Preload(mode=PreloadMode.OFF)),
        ([], Preload(mode=PreloadMode.GIVEN)),
        (["b.c", "a", "b.c"], Preload(mode=PreloadMode.GIVEN, modules=("b.c", "a"))),
    ],
)
def test_preload(value: Any, preload: Preload) -> None:
    assert read(PreloadField(), value) == (preload, [])


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, 'did you mean "auto"?'),
        ("pandas", 'write ["pandas"]'),
        ("all of them", "None"),
        (1, "None"),
        (0, "None"),
        ({}, "None"),
    ],
)
def test_what_preload_cannot_be(value: Any, hint: str) -> None:
    found, (fault,) = read(PreloadField(), value)
    assert found is MISSING
    assert fault.startswith('expected an array of names of modules, "auto" or false, not ')
    assert fault.endswith(f"/ {hint}")


@pytest.mark.parametrize("name", ["a b", "", "a..b", ".a", 3, "import os; x"])
def test_names_of_modules(name: Any) -> None:
    found, (fault,) = read(PreloadField(), ["pandas", name])
    assert found is MISSING
    assert fault.startswith('expected the name of a module, such as "pandas", not ')


def test_a_kernel() -> None:
    assert read(KernelField(), {}) == (Preload(), [])
    assert read(KernelField(), {"preload": False})[0].mode is PreloadMode.OFF
    assert read(KernelField(), "auto")[1] == ['expected a table, not the text "auto" / write { preload = "auto" }']
    assert read(KernelField(), {"preloads": []})[1] == ['unknown key / did you mean "preload"?']
    assert read(KernelField(), {"python": "3.12", "requires": ["pandas"]})[1] == [
        "not supported yet: python / None",
        "not supported yet: requires / None",
    ]


@pytest.mark.parametrize(
    ("name", "good"), [("python3", True), ("py3.12", True), ("R-4_x", True), ("a b", False), ("", False)]
)
def test_names_of_kernels(name: str, good: bool) -> None:
    assert (kernel_fault(name) is None) is good


def test_in_a_file(folder: Folder) -> None:
    spec = folder.load('[kernels]\npython3 = { preload = ["pandas"] }\nir = { preload = false }\n').spec
    assert spec is not None
    assert spec.preloads == {
        "python3": Preload(mode=PreloadMode.GIVEN, modules=("pandas",)),
        "ir": Preload(mode=PreloadMode.OFF),
    }
