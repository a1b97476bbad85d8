"""Values as other languages print them, each type in a form of its own, so that a test can compare them exactly.

Also what the tests need of programs that no Python package brings: a test without them is skipped, and says what to
install; where `CI` is set it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

R_SHOW = r"""
.show <- function(v) {
  if (is.null(v)) return("null")
  if (inherits(v, "POSIXct")) return(sprintf("datetime %s %a", attr(v, "tzone"), as.numeric(v)))
  if (inherits(v, "Date")) return(sprintf("date %d", as.numeric(v)))
  if (is.logical(v)) return(paste("bool", v))
  if (is.integer(v)) return(paste("int", v))
  if (is.double(v)) return(if (is.nan(v)) "float nan" else sprintf("float %a", v))
  if (is.character(v)) return(paste("text", paste(sprintf("%x", utf8ToInt(v)), collapse = " ")))
  items <- vapply(v, .show, "", USE.NAMES = FALSE)
  if (is.null(names(v))) return(paste0("[", paste(items, collapse = ", "), "]"))
  keys <- vapply(names(v), .show, "", USE.NAMES = FALSE)
  paste0("{", paste(paste(keys, items, sep = ": "), collapse = ", "), "}")
}
"""
"""Defines the function `.show`, which gives one line for a value; `shown_by_r` gives the same for ours."""


def shown_by_r(value: Any) -> str:
    """What `.show` of R gives for a value of ours that has arrived exactly."""
    match value:
        case None:
            return "null"
        case bool():
            return f"bool {str(value).upper()}"
        case int():
            return f"int {value}" if abs(value) < 2**31 else f"float {_hex(float(value))}"
        case float():
            return f"float {_hex(value)}"
        case str() | PurePosixPath():
            codes = " ".join(f"{ord(char):x}" for char in str(value))
            return f"text {codes}"
        case datetime():
            zone = getattr(value.tzinfo, "key", "UTC")
            return f"datetime {zone} {_hex(value.timestamp())}"
        case date():
            return f"date {(value - date(1970, 1, 1)).days}"
        case list():
            return f"[{', '.join(map(shown_by_r, value))}]"
        case dict():
            pairs = (f"{shown_by_r(key)}: {shown_by_r(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            raise TypeError(f"R has no {type(value)}")


def _hex(number: float) -> str:
    """`%a` of C: the digits of `float.hex` without trailing zeros."""
    if number != number or number in (float("inf"), float("-inf")):
        return {"inf": "Inf", "-inf": "-Inf"}.get(str(number), "nan")
    digits, mark, exponent = number.hex().partition("p")
    return digits.rstrip("0").rstrip(".") + mark + exponent if "." in digits else digits + mark + exponent


def need(program: str, packages: str) -> None:
    """Skip a test where a program is missing that packages of the system bring; with `CI` set, fail."""
    if shutil.which(program) is None:
        _missing(f"there is no {program}: apt-get install {packages}")


def need_irkernel() -> None:
    """The same for R and its kernel."""
    need("R", "r-cran-irkernel")
    done = subprocess.run(["R", "--slave", "-e", "library(IRkernel)"], capture_output=True, check=False, timeout=60)
    if done.returncode:
        _missing("R has no IRkernel: apt-get install r-cran-irkernel")


def _missing(text: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
