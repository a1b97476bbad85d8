"""Which form of an output is shown, and that it can do no harm."""

from __future__ import annotations

import base64
import html
import re
import time
from typing import Any

import pytest

from nbflow.archive import outputs
from nbflow.archive.outputs import show

PIXEL = base64.b64encode(b"\x89PNG").decode()
NOTE = "This output is interactive"


def display(**data: Any) -> dict[str, Any]:
    names = {
        "html": "text/html",
        "png": "image/png",
        "text": "text/plain",
        "latex": "text/latex",
        "svg": "image/svg+xml",
    }
    names |= {"markdown": "text/markdown", "json": "application/json", "js": "application/javascript"}
    return {"output_type": "display_data", "data": {names[key]: value for key, value in data.items()}, "metadata": {}}


def shown(**data: Any) -> str:
    return "".join(show([display(**data)]))


def stream(text: str | list[str], name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def test_streams_that_follow_each_other_are_one() -> None:
    found = show([stream("a"), stream(["b\n", "c"]), stream("w", "stderr"), stream("d")])
    assert found == [
        '<pre class="stdout" tabindex="0">ab\nc</pre>',
        '<pre class="stderr" tabindex="0">w</pre>',
        '<pre class="stdout" tabindex="0">d</pre>',
    ]


def test_a_progress_bar_over_several_messages_is_one_line() -> None:
    assert show([stream("10%\r"), stream("20%\r"), stream("100%\n")]) == [
        '<pre class="stdout" tabindex="0">100%\n</pre>'
    ]


def test_nothing_to_see_is_not_shown() -> None:
    assert show([stream("\n"), display(), display(text=""), {"output_type": "novel"}]) == []


def test_errors_show_their_traceback_in_colour() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m <b>", "v"]}
    assert show([error]) == [
        '<pre class="traceback" tabindex="0"><span class="ansi-red-fg">E</span> &lt;b&gt;\nv</pre>'
    ]
    assert "E: &lt;v&gt;" in show([{"output_type": "error", "ename": "E", "evalue": "<v>", "traceback": []}])[0]
    assert "exit code 2" in show([{"output_type": "error", "ename": "", "evalue": "2", "traceback": []}])[0]


def test_tables_come_before_images_and_images_before_text() -> None:
    assert "<table>" in shown(html="<table><tr><td>1</table>", png=PIXEL, text="x")
    assert f'src="data:image/png;base64,{PIXEL}"' in shown(png=PIXEL, latex="$x$", text="x")
    assert '<code class="tex wide">x^2</code>' in shown(latex="$\\displaystyle x^2$", text="x**2")
    assert "<strong>b</strong>" in shown(markdown="**b**", text="x")
    assert "&#34;a&#34;: 1" in shown(json={"a": 1}, text="x")
    assert shown(text="x < y") == '<pre class="stdout" tabindex="0">x &lt; y</pre>'


def test_interactive_outputs_show_a_static_form_and_say_so() -> None:
    plot = "<div id=p></div><script>Plotly.newPlot('p')</script>"
    assert NOTE in shown(html=plot)
    with_image = shown(html=plot, png=PIXEL)
    assert PIXEL in with_image
    assert NOTE in with_image
    assert PIXEL in shown(html=f"<p>Loading</p>{plot}", png=PIXEL)
    assert "Loading" not in shown(html=f"<p>Loading</p>{plot}", png=PIXEL)
    assert "Plotly" not in shown(html=plot, text="<IPython.core.display.HTML object>")
    assert "IPython.core" not in shown(html=plot, text="<IPython.core.display.HTML object>")
    assert NOTE in shown(js="alert(1)", text="<b>")
    assert "alert" not in shown(js="alert(1)")
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider(value=3)"}
    text = "".join(show([{"output_type": "display_data", "data": widget, "metadata": {}}]))
    assert "IntSlider(value=3)" in text
    assert NOTE in text


def test_html_with_its_own_style_sheet_is_shown_in_a_closed_frame() -> None:
    text = shown(
        html="<style>#T_1 td{color:red}</style><table id=T_1><tr><td onclick=x>1</td></tr></table><script>x</script>"
    )
    found = re.search(
        r'<iframe class="paper" sandbox srcdoc="([^"]*)" title="HTML output" style="height:(\d+)px">', text
    )
    assert found
    inner = html.unescape(found[1])
    assert "#T_1 td{color:red}" in inner
    assert '<table id="T_1">' in inner
    assert "onclick" not in inner
    assert "<script" not in inner
    assert 96 <= int(found[2]) <= 480


def test_a_style_sheet_cannot_leave_its_element() -> None:
    text = shown(html="<style>a{}</style ><style>b{content:'</sty\\6ce><img src=x>'}</style>x")
    inner = html.unescape(re.findall(r'srcdoc="([^"]*)"', text)[0])
    (css,) = re.findall(r"<style>(.*?)</style>", inner, re.DOTALL)
    assert "<" not in css
    assert "<img" not in inner


def test_the_style_sheet_of_pandas_needs_no_frame() -> None:
    text = shown(
        html="<style scoped>\n .dataframe tbody th{a:b}\n .dataframe td, .dataframe th{c:d}</style>"
        "<table class='dataframe'><tr><td>1</table>"
    )
    assert "iframe" not in text
    assert 'class="dataframe"' in text


def test_inline_colours_stand_on_paper() -> None:
    assert 'class="rich paper"' in shown(html="<p style='color:#333'>x</p>")
    assert 'class="rich"' in shown(html="<p style='text-align:left'>x</p>")


def test_drawings_are_images() -> None:
    text = shown(svg="<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    assert re.search(r'<div class="image drawn"><img src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]+"', text)
    assert "cannot be read" in shown(svg="<svg")


@pytest.mark.parametrize("data", ['x" onerror="alert(1)', "javascript:alert(1)", "", "<svg>"])
def test_images_that_are_no_base64_are_not_shown(data: str) -> None:
    assert "<img" not in shown(png=data)


def test_sizes_and_words_of_images_are_escaped_and_checked() -> None:
    output = display(png=PIXEL + "\n", text="<Figure size 640x480 with 1 Axes>")
    output["metadata"] = {"image/png": {"width": 320, "height": '1" onload="x', "alt": 'a"b'}}
    assert show([output]) == [
        f'<div class="image"><img src="data:image/png;base64,{PIXEL}" alt="a&#34;b" width="320"></div>'
    ]
    assert 'alt="Figure"' in shown(png=PIXEL, text="<Figure size 640x480 with 1 Axes>")


def test_too_large_forms_are_left_to_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MOST_HTML", 20)
    monkeypatch.setattr(outputs, "MOST_IMAGE", 20)
    text = shown(html="<b>" + "x" * 100, text="short form")
    assert "short form" in text
    assert "An HTML output of 103 bytes is in the notebook" in text
    assert "An image of 100 bytes is in the notebook" in shown(png="A" * 100)


def test_a_page_reads_only_so_much_of_its_outputs() -> None:
    budget = outputs.Budget(html=30, markdown=10)
    table, prose = display(html="<b>12345678</b>", text="t"), display(markdown="**123**", text="t")
    first, second, third = ("".join(show([table, prose], budget)) for _ in range(3))
    assert "<b>12345678</b>" in first
    assert "<strong>123</strong>" in first
    assert "<b>12345678</b>" in second
    assert '<pre class="stdout" tabindex="0">**123**</pre>' in second
    assert "An HTML output of 15 bytes is in the notebook" in third


def test_markdown_that_a_reader_would_be_slow_with_is_shown_as_it_is() -> None:
    hostile = "\\[" * outputs.MOST_MARKDOWN
    began = time.process_time()
    text = shown(markdown=hostile)
    assert time.process_time() - began < 2
    assert text.startswith('<pre class="stdout"')


def reported(kind: str, payload: object) -> str:
    data = {f"application/vnd.nbflow.{kind}.v1+json": payload, "text/plain": "plain"}
    return "".join(show([{"output_type": "display_data", "data": data, "metadata": {}}]))


def test_reported_values_are_shown_as_such() -> None:
    assert reported("output", {"name": "rows", "value": 737}) == (
        '<p class="reported"><span>output</span> <b>rows</b> <code>737</code></p>'
    )
    passed, failed = (reported("check", {"name": "not_empty", "passed": value}) for value in (True, False))
    assert "t-ok" in passed
    assert "passed" in passed
    assert "t-bad" in failed
    asset = reported("materialize", {"asset": "orders", "path": "/etc/<b>", "rows": 3})
    assert "<b>orders</b>" in asset
    assert "&lt;b&gt;" in asset
    assert "href" not in asset
    for odd in (None, [1], "<script>", {"name": "<i>", "value": {"x": "<i>"}}):
        assert "<i>" not in reported("output", odd)
        assert "<script>" not in reported("output", odd)


def test_values_are_json_on_one_line() -> None:
    assert outputs.value_text({"a": ["é", None]}) == '{"a": ["é", null]}'
    assert outputs.value_text({(1, 2): 3}) == "{(1, 2): 3}"
