"""Pages as a browser shows them, opened from disk: nothing runs, nothing is fetched, nothing is cut off."""

from __future__ import annotations

import base64
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from nbflow.archive.draw import DrawnTask, graph_svg
from nbflow.archive.index import RunPage, run_page
from nbflow.archive.page import Link, notebook_page

pytestmark = pytest.mark.browser

START = datetime(2026, 1, 31, 5, tzinfo=UTC)
FOLDER = "outputs/flights/flights-20260131T060000-k3fa"
SIZES = {"desktop": 1280, "phone": 390}
LONG = "a_name_that_is_as_long_as_names_may_be_and_has_no_place_to_break"


def find_chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    reason = "no chromium on this machine"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()


class Visit:
    """A page that is open, and what it asked for, said and did."""

    def __init__(self, browser: Any, file: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("popup", lambda popup: self.said.append(f"popup {popup.url}"))
        self.file = file
        self.page.goto(file.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    @property
    def elsewhere(self) -> list[str]:
        """Requests for anything but the page itself and what is in it."""
        return [url for url in self.requests if not url.startswith(("data:", "about:")) and url != self.file.as_uri()]

    def overflow(self) -> list[str]:
        """Elements that stick out of the window to the right, and are not inside of something that scrolls."""
        return self.page.evaluate(
            """() => {
              const wide = document.documentElement.clientWidth;
              const scrolls = e => e && e !== document.body &&
                (['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
              return [...document.body.querySelectorAll('*')]
                .filter(e => e.getBoundingClientRect().right > wide + 1 && !scrolls(e.parentElement) && !scrolls(e))
                .map(e => e.tagName + '.' + e.className);
            }"""
        )


def png(width: int, height: int) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x30\x60\xc0" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


def code(source: str, state: str, *outputs: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    facts = {"state": state, **({} if state == "not_run" else {"duration": 1.25})}
    count = None if state == "not_run" else 7
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"nbflow": facts, **metadata},
        "outputs": list(outputs),
        "execution_count": count,
    }


def text(source: str, **more: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}, **more}


def display(**data: Any) -> dict[str, Any]:
    kinds = {
        "html": "text/html",
        "png": "image/png",
        "svg": "image/svg+xml",
        "plain": "text/plain",
        "markdown": "text/markdown",
    }
    kinds |= {
        "latex": "text/latex",
        "js": "application/javascript",
        "widget": "application/vnd.jupyter.widget-view+json",
    }
    return {"output_type": "display_data", "data": {kinds[key]: value for key, value in data.items()}, "metadata": {}}


def stream(body: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": body}


def document(*cells: dict[str, Any], state: str = "failed", error: dict[str, Any] | None = None) -> dict[str, Any]:
    about = {
        "run": "flights-20260131T060000-k3fa",
        "task": "clean",
        "attempt": 2,
        "state": state,
        "error": error,
        "parameters": {"day": "2013-07-04", LONG: LONG * 3},
        "outputs": {"rows": 737},
        "started": "2026-01-31T05:00:12.100Z",
        "duration": 25.5,
        "environment": {"kernel": "python3", "platform": LONG * 2},
        "warnings": [f"cell 7 overwrites `{LONG}`"],
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"nbflow": about}, "cells": list(cells)}


TABLE = (
    "<div><style scoped>.dataframe th {a:b}</style><table class='dataframe'><tr>"
    + "".join(f"<th>column_{n}</th>" for n in range(30))
    + "</tr><tr>"
    + "".join(f"<td>{n * 1234567}</td>" for n in range(30))
    + "</tr></table></div>"
)
STYLED = "<style>#T td{background:#c00;color:#fff}</style><table id=T><tr><td>1.5</td></tr></table>"
TRACE = {
    "output_type": "error",
    "ename": "ValueError",
    "evalue": "no",
    "traceback": ["\x1b[31mValueError\x1b[0m: " + "x" * 400],
}
ERROR = {
    "kind": "exception",
    "message": f"ValueError: no rows in {LONG * 4}",
    "cell": 3,
    "ename": "ValueError",
    "signal": None,
}

ORDINARY = document(
    text("# Clean\n\n## Read\n\n## Look\n\nA word `code` $x^2$ [link](https://example.com/) " + LONG * 3),
    code("limit = 1", "ok", tags=["injected-parameters"]),
    code(
        "x = 1  # " + "long " * 60,
        "ok",
        stream("line\n" * 200 + "w" * 500),
        stream("careful\n" * 3, "stderr"),
        display(html=TABLE),
        display(png=png(1400, 40)),
        display(html=STYLED),
        display(latex="$$" + "x+" * 300 + "$$"),
    ),
    code("raise ValueError", "failed", TRACE),
    code("after()", "not_run"),
    error=ERROR,
)


def write(folder: Path, name: str, page: str) -> Path:
    file = folder / name
    file.write_text(page, encoding="utf-8")
    return file


def task(name: str, state: str, start: float | None, end: float | None, *upstream: str, **more: Any) -> dict[str, Any]:
    def instant(seconds: float | None) -> str | None:
        return None if seconds is None else (START + timedelta(seconds=seconds)).isoformat()

    return {
        "task": name,
        "state": state,
        "reason": "upstream done",
        "attempts": int(start is not None),
        "started": instant(start),
        "ended": instant(end),
        "error": ERROR if state == "failed" else None,
        "outputs": {"rows": 10, LONG: LONG} if state == "succeeded" else {},
        "cells": {"total": 5, "ok": 4, "failed": int(state == "failed"), "skipped": 0, "not_run": 1},
        "notebook": f"{FOLDER}/{name}.ipynb" if end else None,
        "html": f"{FOLDER}/{name}.html" if end else None,
        "upstream": list(upstream),
        "slug": name.replace("[", ".").replace("]", ""),
        **more,
    }


RUN = {
    "run": "flights-20260131T060000-k3fa",
    "pipeline": "flights",
    "state": "failed",
    "logical_date": "2026-01-31T05:00:00Z",
    "started": START.isoformat(),
    "ended": (START + timedelta(seconds=214)).isoformat(),
    "trigger": "manual",
    "params": {"day": "2013-07-04", LONG: LONG},
    "tasks": [
        task("extract", "succeeded", 0, 12),
        task(LONG, "succeeded", 0, 8),
        task("clean", "failed", 12, 180, "extract"),
        *[task(f"train[{n}]", "succeeded", 20, 60 + n, "extract") for n in range(8)],
        task("load", "upstream_failed", None, None, "clean", LONG),
        task("audit", "running", 13, None, "extract"),
        task("queue", "queued", None, None, "extract"),
        task("retry", "retrying", 13, 20, "extract"),
        task("skip", "skipped", None, None, "load"),
        task("cancel", "cancelled", None, None, "load"),
        task("wait", "pending", None, None, "load"),
    ],
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = START + timedelta(seconds=215)
    links = [Link(label="flights", href="../"), Link(label="flights-20260131T060000-k3fa", href="index.html")]
    page = RunPage(run=RUN, folder=FOLDER, written=written, facts={"git commit": LONG}, timezone="Europe/Prague")
    return {
        "notebook": write(
            folder, "clean.html", notebook_page(ORDINARY, title="clean", links=links, notebook="clean.ipynb")
        ),
        "run": write(folder, "index.html", run_page(page)),
    }


def contrasts(browser: Any, picture: bytes, boxes: list[Any]) -> list[int]:
    """How far the lightest green of each part of a PNG is from its darkest, out of 255; lines at its edges left out."""
    script = """async ([picture, boxes]) => {
      const image = new Image();
      image.src = picture;
      await image.decode();
      const canvas = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height});
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      return boxes.map(box => {
        const data = context.getImageData(box.x, box.y + 2, box.width, box.height - 4).data;
        const greens = data.filter((_, place) => place % 4 === 1);
        return greens.reduce((a, b) => Math.max(a, b)) - greens.reduce((a, b) => Math.min(a, b));
      });
    }"""
    page = browser.new_page()
    try:
        found: list[int] = page.evaluate(script, [f"data:image/png;base64,{base64.b64encode(picture).decode()}", boxes])
        return found
    finally:
        page.close()


@pytest.mark.parametrize("kind", ["notebook", "run"])
def test_a_page_asks_for_nothing_and_says_nothing(browser: Any, pages: dict[str, Path], kind: str) -> None:
    with Visit(browser, pages[kind]) as visit:
        visit.page.wait_for_load_state("networkidle")
        assert visit.elsewhere == []
        assert visit.said == []
        assert visit.page.locator("h1").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("kind", ["notebook", "run"])
def test_nothing_sticks_out(browser: Any, pages: dict[str, Path], kind: str, size: str, scheme: str) -> None:
    with Visit(browser, pages[kind], width=SIZES[size], scheme=scheme) as visit:
        visit.page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
        assert visit.overflow() == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_a_picture_of_a_whole_page_has_all_its_rows(browser: Any, tmp_path: Path, size: str, scheme: str) -> None:
    """As they are cut from one picture of it all, from top to bottom, without having been scrolled to."""
    run = {**RUN, "tasks": [task(f"task_{n}", "succeeded", n, n + 5) for n in range(13)]}
    file = write(tmp_path, "index.html", run_page(RunPage(run=run, folder=FOLDER, written=START)))
    with Visit(browser, file, width=SIZES[size], scheme=scheme) as visit:
        picture = visit.page.screenshot(full_page=True)
        rows = [row.bounding_box() for row in visit.page.locator(".tasks > .row").all()]
    assert len(rows) == 13
    assert min(contrasts(browser, picture, rows)) > 90


@pytest.mark.parametrize("kind", ["notebook", "run"])
def test_light_and_dark_differ(browser: Any, pages: dict[str, Path], kind: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with Visit(browser, pages[kind], scheme=scheme) as visit:
            colour = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(int(part) for part in re.findall(r"\d+", colour)[:3]))
    assert grounds[0] > 600
    assert grounds[1] < 150


def test_text_of_pictures_stays_in_its_box(browser: Any, tmp_path: Path) -> None:
    names = [
        "extract",
        LONG,
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
        "漢字" * 20,
        "ÄÖÜß" * 9,
    ]
    tasks = [DrawnTask(name=name, detail=f"{name} 12s", state="running") for name in names]
    page = f"<!doctype html><meta charset=utf-8><body>{graph_svg(tasks, standalone=True)}"
    with Visit(browser, write(tmp_path, "graph.html", page)) as visit:
        boxes = visit.page.evaluate(
            """() => [...document.querySelectorAll('.plate')].map(plate => {
              const room = plate.getBoundingClientRect();
              return [...plate.parentElement.querySelectorAll('text')].map(text => {
                const box = text.getBoundingClientRect();
                return [box.left - room.left, room.right - box.right, box.top - room.top, room.bottom - box.bottom];
              });
            })"""
        )
    assert len(boxes) == len(names)
    for texts in boxes:
        assert len(texts) == 2
        for margins in texts:
            assert min(margins) >= 0, margins


def test_a_picture_of_its_own_follows_the_scheme(browser: Any, tmp_path: Path) -> None:
    file = write(tmp_path, "graph.svg", graph_svg([DrawnTask(name="a", state="failed")], standalone=True))
    colours = []
    for scheme in ("light", "dark"):
        with Visit(browser, file, scheme=scheme) as visit:
            assert visit.said == []
            colours.append(visit.page.evaluate("getComputedStyle(document.querySelector('.plate')).fill"))
    assert colours[0] != colours[1]
    assert "rgb" in colours[0]


def test_the_head_leads_to_the_failed_cell(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["notebook"]) as visit:
        assert not visit.page.locator("#failed").evaluate("e => e.getBoundingClientRect().top < innerHeight")
        visit.page.get_by_role("link", name="Go to the failed cell").click()
        visit.page.wait_for_url("**#failed")
        assert visit.page.locator("#failed").evaluate("e => e.getBoundingClientRect().top < innerHeight")
        top = visit.page.locator(".top").evaluate("e => e.getBoundingClientRect().bottom")
        assert visit.page.locator("#failed").evaluate("e => e.getBoundingClientRect().top") >= top


def test_code_is_folded_and_hidden_without_a_script(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["notebook"]) as visit:
        source = visit.page.locator("#cell-3 .source > pre")
        visit.page.locator("#cell-3 .source > summary").click()
        assert not source.is_visible()
        visit.page.locator("#cell-3 .source > summary").click()
        assert source.is_visible()
        visit.page.get_by_label("Hide code").check()
        assert not source.is_visible()
        assert visit.page.locator("#cell-3 .outs").is_visible()
        assert visit.page.locator("#cell-4 .source > pre").is_visible()
        assert visit.page.locator("#cell-2 .source > pre").is_visible()
        assert visit.page.locator("#cell-1").is_visible()
        assert not visit.page.locator("#cell-5").is_visible()


def test_html_with_its_own_styles_is_seen_in_its_frame(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["notebook"]) as visit:
        cell = visit.page.frame_locator("iframe.paper").locator("td")
        assert cell.inner_text() == "1.5"
        assert cell.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(204, 0, 0)"


def test_links_of_the_run_lead_to_its_notebooks(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["run"]) as visit:
        visit.page.get_by_role("link", name="Open at the failed cell").click()
        visit.page.wait_for_url("**/clean.html#failed")
        assert visit.page.locator("#failed").is_visible()
        visit.page.get_by_role("link", name="flights-20260131T060000-k3fa").click()
        visit.page.wait_for_url("**/index.html")


EVIL = "http://evil.example"
MARK = "top.document.title='pwned';alert(1)"
SPACE = "xmlns='http://www.w3.org/2000/svg'"
PAYLOADS = [
    f"<script>{MARK}</script>",
    f'<img src=x onerror="{MARK}"><img src={EVIL}/a.png>',
    f"<svg onload=\"{MARK}\" {SPACE}><script>{MARK}</script><image href='{EVIL}/b.png'/></svg>",
    f'<form id=f action={EVIL}/form><button autofocus onfocus="{MARK}">go</button></form><script>f.submit()</script>',
    f"<meta http-equiv=refresh content='0;url={EVIL}/refresh'><base href={EVIL}/base/>",
    f"<link rel=stylesheet href={EVIL}/c.css><link rel=dns-prefetch href={EVIL}><link rel=preconnect href={EVIL}>",
    f"<style>@import url({EVIL}/d.css); body{{background:url({EVIL}/e.png)}}</style><p>styled</p>",
    f"<style>body{{background:u\\72l({EVIL}/k.png)}} .body{{display:none!important}}</style><p>styled</p>",
    f"<p style='background:url({EVIL}/f.png);position:fixed;inset:0'>fixed</p>",
    f'<a href="javascript:{MARK}" class=bait>click me</a>',
    f'<iframe src={EVIL}/frame></iframe><iframe srcdoc="<script>{MARK}</script>"></iframe>',
    f"<object data={EVIL}/object></object><embed src={EVIL}/embed><video src={EVIL}/v autoplay></video>",
    f'<details open ontoggle="{MARK}">x</details><marquee onstart="{MARK}">x</marquee>',
    f'<math><mtext><table><mglyph><style><img src=x onerror="{MARK}"></style></mglyph></table></mtext></math>',
    "</div></section></main><h1>Breakout</h1>",
]


def hostile_notebook() -> dict[str, Any]:
    svg = f"<svg {SPACE} width='9' height='9'><script>{MARK}</script><image href='{EVIL}/g.png'/></svg>"
    outputs = [
        *[display(html=payload) for payload in PAYLOADS],
        *[display(html=f"<style>p{{}}</style>{payload}") for payload in PAYLOADS],
        *[display(markdown=payload) for payload in PAYLOADS],
        display(js=MARK),
        display(svg=svg),
        display(widget={"model_id": "x"}, plain="Widget()"),
        stream(f"<script>{MARK}</script>\x1b]0;pwned\x07"),
        {
            "output_type": "error",
            "ename": f"<script>{MARK}</script>",
            "evalue": "",
            "traceback": [f"<script>{MARK}</script>"],
        },
    ]
    attachments = {"a.svg": {"image/svg+xml": base64.b64encode(svg.encode()).decode()}, "b.png": {"text/html": "eA=="}}
    cells = [
        text("\n\n".join(PAYLOADS)),
        text(
            f'# <img src=x onerror="{MARK}">\n\n![x]({EVIL}/h.png) ![y](../../../etc/passwd) [z](javascript:alert(1))'
        ),
        text("![a](attachment:a.svg) ![b](attachment:b.png) ![c](attachment:gone.png)", attachments=attachments),
        code(f"</pre><script>{MARK}</script>", "ok", *outputs),
        {"cell_type": "raw", "source": f"<script>{MARK}</script>", "metadata": {}},
    ]
    error = {"kind": "exception", "message": f"<script>{MARK}</script>", "cell": 3, "ename": f"<script>{MARK}</script>"}
    return document(*cells, error=error)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_outputs_run_nothing_and_fetch_nothing(browser: Any, tmp_path: Path, scheme: str) -> None:
    file = write(tmp_path, "hostile.html", notebook_page(hostile_notebook(), title=f"<script>{MARK}</script>"))
    with Visit(browser, file, scheme=scheme) as visit:
        title = visit.page.title()
        visit.page.wait_for_load_state("networkidle")
        for link in visit.page.locator("a.bait, a:has-text('click me')").all():
            link.click(no_wait_after=True)
        visit.page.wait_for_load_state("networkidle")
        assert visit.elsewhere == []
        assert visit.said == []
        assert visit.page.title() == title
        assert visit.page.url == file.as_uri()
        assert visit.page.locator("script, form, base, object, embed, video, marquee").count() == 0
        assert visit.page.locator("footer").is_visible()
        assert visit.page.locator("main footer").count() == 1
        for frame in visit.page.frames[1:]:
            assert frame.url == "about:srcdoc"
            assert frame.evaluate("document.querySelectorAll('script, form, iframe, link, object').length") == 0


def test_the_policy_holds_where_our_escaping_would_fail(browser: Any, tmp_path: Path) -> None:
    """The second wall alone: payloads put into a page as they are."""
    page = notebook_page(document(error=None, state="succeeded"), title="clean")
    raw = page.replace("<footer>", "".join(PAYLOADS[:2] + PAYLOADS[5:7]) + "<footer>")
    assert raw != page
    with Visit(browser, write(tmp_path, "raw.html", raw)) as visit:
        visit.page.wait_for_load_state("networkidle")
        assert not [line for line in visit.said if line.startswith("dialog")]
        assert visit.page.title() == "clean"
        sent = [url for url in visit.elsewhere if not url.endswith("/x")]
        answered = visit.page.evaluate(
            "performance.getEntriesByType('resource').filter(e => e.responseStatus > 0).length"
        )
        assert answered == 0
        assert all("evil.example" in url or url.startswith("file:") for url in sent)


def test_hostile_names_on_the_page_of_a_run(browser: Any, tmp_path: Path) -> None:
    name = f'"><script>{MARK}</script><img src={EVIL}/a.png onerror="{MARK}">'
    bad = {**ERROR, "message": name, "ename": name}
    tasks = [
        task(name, "failed", 0, 10, error=bad, outputs={name: name}, reason=name, html=f"{FOLDER}/javascript:alert(1)"),
        task(f"{name}[1]", "succeeded", 0, 10, name, reused_from=name),
    ]
    run = {**RUN, "run": name, "pipeline": name, "tasks": tasks, "params": {name: name}, "trigger": name}
    page = run_page(RunPage(run=run, folder=FOLDER, written=START, description=name, facts={name: name}))
    with Visit(browser, write(tmp_path, "index.html", page)) as visit:
        visit.page.wait_for_load_state("networkidle")
        assert visit.elsewhere == []
        assert visit.said == []
        assert visit.page.locator("script").count() == 0
        assert visit.page.locator("main img").count() == 0
