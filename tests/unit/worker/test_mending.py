"""The end of a text whose worker died: read from the file beside the journal."""

from __future__ import annotations

from pathlib import Path

from nbflow.worker import journal as jr
from nbflow.worker.fold import fold
from nbflow.worker.mending import missing_tails
from nbflow.worker.spool import Spools
from support.attempts import notebook


def test_the_tail_of_a_text_is_found_once(tmp_path: Path) -> None:
    journal = jr.Journal.create(str(tmp_path / "clean.1.jsonl"))
    order = {"slug": "clean"}
    facts = {"parameters": {}, "source": {}, "kernel": {}, "environment": {}, "at": jr.instant()}
    journal.append("attempt", version=jr.VERSION, order=order, document=notebook("1"), **facts)
    text = Spools(journal.path, "clean", {0: 1}).text(0, "stdout")
    journal.append("output", cell=0, output={"output_type": "stream", "name": "stdout", "text": "head"})
    journal.append("spool", cell=0, name="stdout", file=text.path.name, head=4, tail=3)
    text.write("head" + "x" * 20 + "end")
    text.sync()
    text.write("what is lost")

    (tail,) = missing_tails(journal.path, fold(jr.read(journal.path)))
    assert tail == {"type": "tail", "cell": 0, "name": "stdout", "text": "end", "omitted": 20}
    journal.append(tail.pop("type"), **tail)
    assert list(missing_tails(journal.path, fold(jr.read(journal.path)))) == []
    journal.close()


def test_a_file_with_less_than_the_journal(tmp_path: Path) -> None:
    folded = fold(
        [
            {
                "type": "attempt",
                "version": 1,
                "order": {"slug": "t"},
                "document": notebook("1"),
                "parameters": {},
                "source": {},
                "kernel": {},
                "environment": {},
                "at": "",
            },
            {"type": "spool", "cell": 0, "name": "stdout", "file": "gone.gz", "head": 4, "tail": 3},
        ]
    )
    (tail,) = missing_tails(tmp_path / "j.jsonl", folded) if (tmp_path / "j.spool").mkdir() is None else ()
    assert (tail["text"], tail["omitted"]) == ("", 0)
