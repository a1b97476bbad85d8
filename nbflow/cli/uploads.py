"""What a command says of an archive on object storage: that it waits for it, where a run lies, what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbflow.aside import PATIENCE
from nbflow.cli.session import Session
from nbflow.cli.text import clean
from nbflow.results import RunResult

if TYPE_CHECKING:
    from nbflow.project import Project


def settle(session: Session, project: Project) -> None:
    """Upload what runs that have ended have left here, and wait for it; after a while that is said."""
    sender = project.archiving.sender
    sender.catch_up(project.runs)
    most = sender.patience
    if not sender.settle(min(PATIENCE, most)) and most > PATIENCE and not sender.is_hurried:
        session.err.line(f"uploading to {clean(str(project.archiving.url))}; Ctrl-C leaves the rest for later")
        sender.settle(most - PATIENCE)


def settled(session: Session, project: Project, result: RunResult) -> RunResult:
    """The document of a run once its uploads have ended, or are left for later; what is left is told as a warning."""
    if project.archiving.url is None:
        return result
    settle(session, project)
    if (trouble := project.archiving.sender.trouble(result.run)) is not None:
        session.err.line(f"warning: not archived yet: {clean(trouble.message)}")
        session.err.line(f"  it is safe on this machine; try again with: nbflow report {result.run}")
    return RunResult(project.archiving.mark(result))
