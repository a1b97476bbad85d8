"""Work orders: all that a worker needs, with absolute paths."""

from __future__ import annotations

from nbflow.core import messages as msg
from nbflow.core.attempt import ArchivedFile, Outcome, Verdict
from nbflow.core.spec import Limits, RetryPolicy
from nbflow.engine.effects import spent_journals, work_order
from support.build import RUN, Story, planned


def test_a_work_order_has_all_that_the_worker_needs() -> None:
    task = planned(
        "train[ridge,eu]",
        notebook="notebooks/train.ipynb",
        slug="train.ridge-eu",
        kernel="python3",
        limits=Limits(timeout=60.0),
        accepts=("day",),
        sha256="ff",
        secrets={"DB_URL": "env:X"},
        retry=RetryPolicy(retries=1),
    )
    story = Story(task, params={"day": 3}, outputs="out", journals="/project/out/.nbflow/journals", withheld=("X",))
    story.send("start")
    story.send("failed train[ridge,eu]/1")
    order = work_order(story.state, "train[ridge,eu]")
    assert (order.run, order.pipeline, order.task, order.attempt) == (RUN, "sales", "train[ridge,eu]", 2)
    assert (order.notebook, order.root, order.outputs) == ("/project/notebooks/train.ipynb", "/project", "/project/out")
    assert (order.folder, order.slug) == (f"sales/{RUN}", "train.ridge-eu")
    assert order.journal == "/project/out/.nbflow/journals/train.ridge-eu.2.jsonl"
    assert (order.params, order.kernel, order.limits) == ({"day": 3}, "python3", Limits(timeout=60.0))
    assert (order.logical_date, order.sha256) == ("2026-01-31T12:00:00Z", "ff")
    assert (order.secrets, order.withheld) == ({"DB_URL": "env:X"}, ("X",))


def test_an_archive_root_elsewhere_stays_where_it_is() -> None:
    story = Story(planned("a"), outputs="/archive")
    story.send("start")
    assert work_order(story.state, "a").outputs == "/archive"


def test_journals_are_spent_once_their_notebook_is_archived() -> None:
    story = Story(planned("a"), planned("b"))
    story.send("start", "failed b/1 archive")
    file = ArchivedFile(path="sales/x/a.ipynb", size=1, sha256="f")
    story.send(msg.Finished(task="a", attempt=1, outcome=Outcome(verdict=Verdict.SUCCEEDED, files=(file,))))
    assert spent_journals(story.state) == ["/journals/a.1.jsonl"]
