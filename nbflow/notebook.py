"""What a notebook says to nbflow: values for downstream tasks, assets it wrote, results of checks; and where it is.

Each is a display output with a MIME type of its own, so the executed notebook alone proves it. Runs inside the user's
kernel: imports nothing of nbflow and nothing heavy, and works outside of a run too (it then only displays).
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

__all__ = ["check", "materialize", "output", "run"]

_MIME = "application/vnd.nbflow.{}.v1+json"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MAX_SIZE = 1024 * 1024
_MAX_DEPTH = 100
_MAX_INT_BITS = 10_000
_SHOWN = 200
_PLACE = 60
"""Characters that are shown of a place that is deep within a value."""


class _Run:
    """The run that this notebook is part of. Outside of a run every attribute is None."""

    @property
    def id(self) -> str | None:
        """The id of the run: with `task`, a key by which the outside world can tell repeated attempts."""
        return os.environ.get("NBFLOW_RUN")

    @property
    def pipeline(self) -> str | None:
        """The name of the pipeline."""
        return os.environ.get("NBFLOW_PIPELINE")

    @property
    def task(self) -> str | None:
        """The name of the task; of a copy, `train[ridge,eu]`."""
        return os.environ.get("NBFLOW_TASK")

    @property
    def attempt(self) -> int | None:
        """The number of this attempt, from 1."""
        number = os.environ.get("NBFLOW_ATTEMPT")
        return None if number is None else int(number)

    @property
    def logical_date(self) -> datetime | None:
        """The instant that the run is for, with its time zone; the same in every attempt."""
        text = os.environ.get("NBFLOW_LOGICAL_DATE")
        return None if text is None else datetime.fromisoformat(text)

    def __repr__(self) -> str:
        if self.id is None:
            return "<nbflow: not in a run>"
        return f"<nbflow run {self.id}: {self.pipeline}.{self.task}, attempt {self.attempt}>"


run = _Run()


def output(name: str, value: object) -> None:
    """Hand a small value on: downstream it is `{{ tasks.THIS_TASK.outputs.NAME }}`, with its type.

    None, bool, int, float, str, date, datetime, time, timedelta, Decimal, Path, and lists, tuples, sets and dicts of
    them; numpy's scalars become Python's. Raises TypeError for other types and ValueError above 1 MB: write a file,
    and hand its path on.
    """
    _check_name("output", name)
    _display("output", {"name": name, "value": _encoded(value, name)}, f"{name} = {_shown(value)}")


def materialize(asset: str, path: object = None, **metadata: object) -> None:
    """Say that an asset was written, where, and what is worth knowing of it (`rows=10`)."""
    _check_name("materialize", asset)
    place = None if path is None else os.fspath(path) if isinstance(path, os.PathLike) else str(path)
    facts = {key: _encoded(value, f"{asset}.{key}") for key, value in metadata.items()}
    told = [f"{key}={_shown(value)}" for key, value in ({} if place is None else {"path": place}).items()]
    told += [f"{key}={_shown(value)}" for key, value in metadata.items()]
    text = f"materialized {asset}" + (f": {', '.join(told)}" if told else "")
    _display("materialize", {"asset": asset, "path": place, "metadata": facts}, text)


def check(name: str, passed: object, **details: object) -> None:
    """Say whether a check of the data's quality passed, and what is worth knowing of it (`rows=0`).

    Raises TypeError where `passed` is no truth value: a table or a column has none.
    """
    _check_name("check", name)
    verdict = _scalar(passed)
    if not isinstance(verdict, bool):
        raise TypeError(f"nbflow.check({name!r}): passed must be True or False, not a {_type_name(passed)}")
    facts = {key: _encoded(value, f"{name}.{key}") for key, value in details.items()}
    told = ", ".join(f"{key}={_shown(value)}" for key, value in details.items())
    text = f"check {name}: {'passed' if verdict else 'failed'}" + (f" ({told})" if told else "")
    _display("check", {"name": name, "passed": verdict, "details": facts}, text)


def _check_name(function: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"nbflow.{function}: {name!r} is not a name; use a letter or _, then up to 63 letters, digits, _ or -"
        )


def _display(kind: str, payload: dict[str, Any], text: str) -> None:
    """Through IPython, where the notebook runs in it; any other Python just prints."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        print(text)
    else:
        shell.display_pub.publish({_MIME.format(kind): payload, "text/plain": text}, metadata={})


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _encoded(value: object, name: str) -> Any:
    """The exact JSON form, the same that nbflow itself uses between tasks."""
    encoded = _encode(value, name, 0)
    size = len(json.dumps(encoded, separators=(",", ":"), ensure_ascii=False).encode("utf-8"))
    if size > _MAX_SIZE:
        raise ValueError(f"{name}: {size / 1e6:.1f} MB is above the limit of 1.0 MB; write a file and pass its path")
    return encoded


def _encode(value: object, path: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{path[:_PLACE]}...: nested more than {_MAX_DEPTH} levels deep")
    value = _scalar(value)
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return _encode_scalar(value, path)
    if kind in (list, tuple):
        items = [_encode(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]  # type: ignore[arg-type, var-annotated]
        return items if kind is list else {"$tuple": items}
    if kind in (set, frozenset):
        items = [_encode(item, f"{path}{{...}}", depth + 1) for item in value]  # type: ignore[attr-defined]
        return {f"${kind.__name__}": sorted(items, key=_dump)}
    if isinstance(value, dict) and kind is dict:
        return _encode_dict(value, path, depth)
    return _encode_tagged(value, path)


def _encode_scalar(value: Any, path: str) -> Any:
    if type(value) is int and value.bit_length() > _MAX_INT_BITS:
        raise ValueError(f"{path}: an integer of more than {_MAX_INT_BITS:,} bits")
    if type(value) is float and not math.isfinite(value):
        return {"$float": str(value)}
    return _text(value, path) if type(value) is str else value


def _encode_dict(value: dict[Any, Any], path: str, depth: int) -> Any:
    pairs = [
        (_encode(key, f"key of {path}", depth + 1), _encode(item, f"{path}[{key!r:.40}]", depth + 1))
        for key, item in value.items()
    ]
    if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [list(pair) for pair in pairs]}


def _encode_tagged(value: Any, path: str) -> Any:
    from decimal import Decimal
    from pathlib import PurePosixPath

    kind = type(value)
    if kind in (datetime, time):
        return {f"${kind.__name__}": value.replace(tzinfo=None, fold=0).isoformat()} | _encode_zone(value, path)
    if kind is date:
        return {"$date": value.isoformat()}
    if kind is timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if kind is Decimal:
        return {"$decimal": str(value)}
    if isinstance(value, PurePosixPath):
        return {"$path": _text(str(value), path)}
    shown = f"an object of type {_type_name(value)}"
    raise TypeError(f"{path}: {shown} cannot be passed on; write it to a file and pass the file's path")


def _encode_zone(value: datetime | time, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"fold": value.fold} if value.fold else {}
    zone = value.tzinfo
    if zone is None:
        return found
    if isinstance(zone, timezone):
        offset = zone.utcoffset(None)
        return found | {"offset": [offset.days, offset.seconds, offset.microseconds]}
    key = getattr(zone, "key", None)
    if type(zone).__name__ == "ZoneInfo" and isinstance(key, str):
        return found | {"zone": key}
    raise TypeError(f"{path}: a time zone of type {_type_name(zone)} cannot be passed on; use zoneinfo")


def _scalar(value: object) -> object:
    """A scalar of numpy as Python's own, where that is exact; anything else as it is."""
    if any(kind.__module__ == "numpy" and kind.__name__ == "generic" for kind in type(value).__mro__):
        item = value.item()  # type: ignore[attr-defined]
        is_time = getattr(getattr(value, "dtype", None), "kind", "") in {"m", "M"}
        # A time finer than microseconds gives an int, a long double gives itself: neither is exact.
        if not (is_time and isinstance(item, int)):
            return item
    return value


def _text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{path}: text with a lone surrogate, which has no UTF-8 form") from None
    return text


def _dump(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
