"""What is shown of widgets where nothing draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbflow.archive.outputs import show
from nbflow.archive.widgets import STATE, VIEW, states, unfold

PRINTED = {"output_type": "stream", "name": "stdout", "text": "inside\n"}


def view(identity: str) -> dict[str, Any]:
    data = {"text/plain": "VBox(children=(...))", VIEW: {"model_id": identity, "version_major": 2}}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def model(name: str, **state: Any) -> dict[str, Any]:
    return {"model_name": name, "state": state}


MODELS = {
    "box": model("VBoxModel", children=["IPY_MODEL_slider", "IPY_MODEL_out", "IPY_MODEL_box"]),
    "slider": model("IntSliderModel", value=3),
    "out": model("OutputModel", outputs=[PRINTED]),
    "bar": model("HBoxModel", children=["IPY_MODEL_left", "IPY_MODEL_gone", "IPY_MODEL_right"]),
    "left": model("HTMLModel", value="100%"),
    "right": model("LabelModel", value=" 3/3 "),
}


def test_what_an_output_widget_captured_is_shown_once() -> None:
    found = list(unfold([view("box")], MODELS))
    assert found == [PRINTED, {**view("box"), "data": {VIEW: view("box")["data"][VIEW]}}]
    markup = "".join(show(found))
    assert "inside" in markup
    assert "VBox" not in markup
    assert "This output is interactive" in markup


def test_texts_of_labels() -> None:
    first, second, _ = unfold([view("bar")], MODELS)
    assert first["data"] == {"text/html": "100%"}
    assert second["data"] == {"text/plain": " 3/3 "}


def test_others_keep_their_description() -> None:
    for output in (view("slider"), view("unknown"), PRINTED):
        assert list(unfold([output], MODELS)) == [output]
    assert "VBox" in "".join(show(unfold([view("slider")], MODELS)))


def test_the_states_in_a_document() -> None:
    assert states({"metadata": {"widgets": {STATE: {"state": MODELS}}}}) == MODELS
    for metadata in (None, {}, {"widgets": 1}, {"widgets": {STATE: []}}, {"widgets": {STATE: {"state": 1}}}):
        assert states({"metadata": metadata}) == {}


json = st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))


@given(json, json, json)
def test_odd_states_do_no_harm(state: Any, children: Any, identity: Any) -> None:
    models = {"a": {"model_name": "HTMLModel", "state": state}, "b": model("BoxModel", children=children), "": state}
    for output in ({"data": {VIEW: identity}}, {"data": identity}, view("a"), view("b"), view("")):
        list(unfold([output], models))
    states({"metadata": state})
