"""The manifest and the page of a run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nbflow.archive.files import FileArchive
from nbflow.archive.seal import manifest, page, seal
from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.messages import Finished
from nbflow.core.spec import RetryPolicy
from nbflow.errors import UnreachableError
from support.build import Story, planned


@pytest.fixture
def story() -> Story:
    facts = {"host": "h", "git": {"commit": "0123456789abcdef", "dirty": True}, "nothing": None}
    flaky = planned("a", retry=RetryPolicy(retries=1), sha256="5a", description="Reads <b>orders</b>")
    story = Story(flaky, planned("b", "a", params={"n": 1}), planned("c", "b"), facts=facts)
    story.send("start")
    story.send("failed a/1 exception:ValueError")
    story.send("tick", at=60)
    file = ArchivedFile(path=f"{story.state.created.settings.folder}/a.ipynb", size=3, sha256="ff")
    story.send(Finished(task="a", attempt=2, outcome=Outcome(verdict=Verdict.SUCCEEDED, files=(file,))))
    story.send("failed b/1 timeout")
    return story


def test_the_manifest_has_plan_hashes_and_every_attempt(story: Story) -> None:
    document = json.loads(manifest(story.state))
    assert document["state"] == "failed"
    assert [one["action"] for one in document["plan"]] == ["run", "run", "run"]
    assert document["environment"]["git"]["commit"] == "0123456789abcdef"
    assert document["sources"] == {"a.ipynb": "5a", "b.ipynb": None, "c.ipynb": None}
    assert [(one["task"], one["attempt"], one["state"]) for one in document["attempts"]] == [
        ("a", 1, "failed"),
        ("a", 2, "succeeded"),
        ("b", 1, "failed"),
    ]
    assert document["attempts"][0]["error"]["ename"] == "ValueError"
    assert {"cpu_seconds", "peak_memory"} <= set(document["attempts"][1])
    assert [one["sha256"] for one in document["files"]] == ["ff"]


def test_the_page_tells_what_failed_and_escapes_what_it_is_given(story: Story) -> None:
    html = page(story.state)
    assert "0123456789ab, with changes" in html
    assert "Reads &lt;b&gt;orders&lt;/b&gt;" in html
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", html)
    assert 0 < html.index('class="failure') < html.index(">Graph<"), "failures come first"


def test_same_state_same_bytes(story: Story) -> None:
    assert page(story.state) == page(story.state)
    assert manifest(story.state) == manifest(story.state)


def test_sealing_publishes_both(story: Story, tmp_path: Path) -> None:
    archive = FileArchive(tmp_path)
    path = seal(story.state, archive)
    folder = (tmp_path / path).parent
    assert sorted(file.name for file in folder.iterdir()) == ["index.html", "run.json"]


def test_an_archive_that_cannot_be_written_is_named(story: Story, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError):
        seal(story.state, FileArchive(tmp_path / "file"))


def test_facts_may_be_missing() -> None:
    story = Story(planned("a"))
    story.send("start")
    story.send("succeeded a/1")
    state = story.state
    state.created = replace(state.created, settings=replace(state.created.settings, facts={}))
    assert "Succeeded" in page(state)
