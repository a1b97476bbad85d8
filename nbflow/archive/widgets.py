"""What a page without scripts can show of widgets: what they had captured or said when the notebook ended.

A widget is drawn by a script from its state. Of the state, outputs that an Output widget has captured and texts of
labels can be shown as they are; so a plot of `interact` or the count of a progress bar is not lost. Must not know
pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

_REFERENCE = "IPY_MODEL_"
_TEXTS = {"HTMLModel": "text/html", "HTMLMathModel": "text/html", "LabelModel": "text/plain"}

Output = Mapping[str, Any]


def states(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The states of a notebook's widgets by their ids, as far as they are saved in it."""
    found: Any = document
    for key in ("metadata", "widgets", STATE, "state"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def unfold(outputs: Iterable[Output], models: Mapping[str, Any]) -> Iterator[Output]:
    """Outputs of a cell; after a view of a widget comes what can be shown of it, in place of its description."""
    for output in outputs:
        data = output.get("data")
        view = data.get(VIEW) if isinstance(data, Mapping) else None
        identity = view.get("model_id") if isinstance(view, Mapping) else None
        parts = list(_parts(identity, models, set())) if isinstance(identity, str) else []
        yield from parts
        yield {**output, "data": {VIEW: view}} if parts else output


def _parts(identity: str, models: Mapping[str, Any], seen: set[str]) -> Iterator[Output]:
    """What can be shown of a widget and of those in it, in their order, each once."""
    model = models.get(identity)
    state = model.get("state") if isinstance(model, Mapping) else None
    if identity in seen or not isinstance(model, Mapping) or not isinstance(state, Mapping):
        return
    seen.add(identity)
    kind = _TEXTS.get(str(model.get("model_name")))
    if kind is not None and str(state.get("value") or "").strip():
        yield {"output_type": "display_data", "data": {kind: str(state["value"])}, "metadata": {}}
    for found in _list(state.get("outputs")):
        if isinstance(found, Mapping):
            yield found
    for child in _list(state.get("children")):
        if isinstance(child, str):
            yield from _parts(child.removeprefix(_REFERENCE), models, seen)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
