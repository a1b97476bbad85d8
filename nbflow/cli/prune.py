"""The command prune: runs that are not needed any more are taken out, with their files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nbflow.archive.words import count
from nbflow.cli.failures import show_error
from nbflow.cli.history import require_pipeline
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.text import Cell, clean, moment, one_line
from nbflow.core.sizes import size
from nbflow.errors import ConflictError, UnreachableError, UsageError

if TYPE_CHECKING:
    from nbflow.core.retention import Retention
    from nbflow.project import Project
    from nbflow.pruning import Pruning

STATES = ("succeeded", "failed", "cancelled", "interrupted")
MOST = 20
"""Lines of each kind that are shown to people; a program gets all."""


@click.command("prune")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--older-than", metavar="AGE", help="Runs that have ended longer ago: 90d, 12h.")
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="N", help="Keep the N newest of each pipeline, whatever their age."
)
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="In this state only. Repeatable.")
@click.option("--pipeline", metavar="PIPELINE", help="Of this pipeline only.")
@click.option("--orphans", is_flag=True, help="Also remove folders of runs that the store does not know.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal to ask on.")
@json_option()
@pass_session
def prune_command(  # noqa: PLR0917 - one for each option
    session: Session,
    runs: tuple[str, ...],
    older_than: str | None,
    keep: int | None,
    states: tuple[str, ...],
    pipeline: str | None,
    orphans: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Remove old runs: their notebooks, pages and records.

    Removes the runs to which all applies that is given, or the RUNs. Shows them and asks first. What is going on, what
    another run has taken results of, the newest success of each task, and what is not yet archived stays. What crashes
    have left behind is cleared away in any case; so is what an earlier call has not finished. The exit code is 4 where
    a RUN stays.

    \b
    nbflow prune --older-than 90d --keep 20
    nbflow prune --state failed --older-than 7d -n
    nbflow prune sales-20260131T060000-k3fa
    """
    rule = _rule(runs, older_than, keep, states, pipeline)
    looked: list[Pruning] = []
    with session.project() as project:
        if pipeline is not None:
            require_pipeline(project, pipeline)

        def agree(found: Pruning) -> bool:
            looked.append(found)
            return _agreed(session, found, project.spec.timezone, orphans=orphans, dry_run=dry_run, yes=yes)

        done = project.prune(rule, agree=agree, orphans=orphans)
        if done is None and not dry_run:
            _clear_away(session, project, looked[0], orphans=orphans)
    if done is not None:
        _report(session, done, orphans=orphans)
    elif dry_run or looked[0].runs:  # it was not wanted in the end
        return 0
    return _told_to_stay(session, done or looked[0]) if runs else 0


def _needs_yes(found: Pruning, *, orphans: bool) -> bool:
    """Whether anything would go that is not cleared away in any case."""
    return bool(found.runs or (orphans and found.orphans))


def _agreed(session: Session, found: Pruning, zone: str, *, orphans: bool, dry_run: bool, yes: bool) -> bool:
    """Show what would go, and whether it may. Where there is nobody to ask it may not, and nothing is shown."""
    needs_yes = _needs_yes(found, orphans=orphans) and not yes
    if needs_yes and not (dry_run or _can_ask(session)):
        return False
    if session.outputs.json:
        if dry_run:
            session.out.document(found.document(dry_run=True))
        return not dry_run
    _show(session, found, zone, orphans=orphans)
    is_any = not found.is_empty or (orphans and bool(found.orphans))
    return is_any and not dry_run and (not needs_yes or _ask(session))


def _clear_away(session: Session, project: Project, found: Pruning, *, orphans: bool) -> None:
    """Do what needs no yes, where the rest of what was found, if there is any, may not go.

    Raises UsageError where nobody could be asked for that, UnreachableError where something could not be cleared away.
    """
    from nbflow.core.retention import Retention

    done = project.prune(Retention()) if found.begun or found.leftovers else None
    if done is not None and not session.outputs.json:
        session.out.line(_summary(done, orphans=False))
    trouble = None if done is None else _trouble(done)
    if _needs_yes(found, orphans=orphans) and not _can_ask(session):
        if trouble is not None:
            show_error(session.err, trouble.message, trouble.hint)
        raise UsageError(
            "nothing is removed unasked, and there is no terminal to ask on", hint="add --yes, or -n to look"
        )
    if trouble is not None:
        raise trouble


def _report(session: Session, done: Pruning, *, orphans: bool) -> None:
    """Say what has gone. Raises UnreachableError where something of it could not be removed."""
    if session.outputs.json:
        session.out.document(done.document(dry_run=False))
    else:
        session.out.line(_summary(done, orphans=orphans))
    if (trouble := _trouble(done)) is not None:
        raise trouble


def _trouble(done: Pruning) -> UnreachableError | None:
    """What could not be removed."""
    if not done.faults:
        return None
    said = "\n".join(one_line(f"{run}: {message}") for run, message in list(done.faults.items())[:3])
    return UnreachableError(
        f"of {count(len(done.faults), 'run')} not all files could be removed:\n{said}",
        hint="put that right; the next `nbflow prune` removes the rest",
    )


def _told_to_stay(session: Session, done: Pruning) -> int:
    """Say which of the runs that were named stay; the exit code."""
    for run, reason in done.kept.items():
        show_error(session.err, one_line(f"run {run} stays: {reason}"))
    return ConflictError.exit_code if done.kept else 0


def _rule(
    runs: Sequence[str], older_than: str | None, keep: int | None, states: Sequence[str], pipeline: str | None
) -> Retention:
    """The rule that the options make. Raises UsageError where they say too little, or two things."""
    from nbflow.config.quantities import parse_duration
    from nbflow.core.retention import Retention

    if runs and (older_than is not None or keep is not None or states or pipeline is not None):
        raise UsageError("RUN names the runs: give no rule beside it")
    age = None
    if older_than is not None:
        try:
            age = parse_duration(older_than)
        except ValueError as error:
            raise UsageError(f"--older-than {older_than}: {error}", hint="for example: --older-than 90d") from None
    rule = Retention(older_than=age, keep=keep, states=tuple(states), pipeline=pipeline, runs=tuple(runs))
    if pipeline is not None and rule.means_none:
        raise UsageError(
            f"--pipeline {pipeline} alone would be all of its runs",
            hint="say which: --older-than AGE, --keep N or --state STATE; all of them: --keep 0",
        )
    return rule


def _can_ask(session: Session) -> bool:
    return not session.outputs.json and session.out.is_terminal and sys.stdin.isatty()


def _ask(session: Session) -> bool:
    session.out.write("Remove this for good? [y/N] ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        session.out.line()
    return answer.strip().lower() in ("y", "yes")


def _show(session: Session, found: Pruning, zone: str, *, orphans: bool) -> None:
    """What would go, and what has to stay."""
    out = session.out
    rows: list[list[Cell | str]] = [
        [
            Cell(one.run, "bold"),
            out.state(look(one.state)),
            moment(one.ended, zone),
            Cell(size(one.size), right=True),
        ]
        for one in found.runs[:MOST]
    ]
    if rows:
        out.table(("run", "state", "ended", "size"), rows)
        _more(session, len(found.runs))
    for run, reason in list(found.kept.items())[:MOST]:
        out.line(f"{out.paint('kept', 'dim')} {clean(run)}: {one_line(reason)}")
    _more(session, len(found.kept))
    for title, places in (("left over", found.leftovers), ("unknown to the store", found.orphans)):
        for place in places[:MOST]:
            out.line(f"{out.paint(title, 'dim')} {clean(session.shown_path(place))}")
        _more(session, len(places))
    _show_totals(session, found, orphans=orphans)


def _show_totals(session: Session, found: Pruning, *, orphans: bool) -> None:
    out, parts, cleared = session.out, [], []
    if found.runs:
        parts.append(f"{count(len(found.runs), 'run')} with {size(sum(one.size for one in found.runs))} of files")
    if orphans and found.orphans:
        parts.append(f"{count(len(found.orphans), 'folder')} of unknown runs")
    if found.begun:
        cleared.append(f"{count(len(found.begun), 'run')} that an earlier call has begun to remove")
    if found.leftovers:
        cleared.append(f"{count(len(found.leftovers), 'place')} that crashes have left")
    if parts or not cleared:
        out.line(f"to remove: {', '.join(parts)}" if parts else "nothing to remove")
    if cleared:
        out.line(f"to clear away in any case: {', '.join(cleared)}")
    if found.orphans and not orphans:
        out.line(f"{count(len(found.orphans), 'folder')} of unknown runs stay; --orphans removes them")


def _more(session: Session, number: int) -> None:
    if number > MOST:
        session.out.line(session.out.paint(f"and {number - MOST} more", "dim"))


def _summary(done: Pruning, *, orphans: bool) -> str:
    parts = []
    if done.runs:
        parts.append(f"removed {count(len(done.runs), 'run')}: {size(sum(one.size for one in done.runs))} of files")
    if orphans and done.orphans:
        parts.append(f"removed {count(len(done.orphans), 'folder')} of unknown runs")
    if done.begun:
        parts.append(f"finished what an earlier prune had begun: {count(len(done.begun), 'run')}")
    if done.leftovers:
        parts.append(f"cleared away {count(len(done.leftovers), 'place')} that crashes had left")
    if done.freed:
        parts.append(f"gave {size(done.freed)} of the store back")
    return "; ".join(parts) or "nothing was removed"
