"""One attempt from its order to its outcome: snapshot, journal, cells, notebook, archive.

From every point there is a way to "notebook built" that needs no kernel. Must not know how orders arrive or who reads
the reports.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from nbflow.core import codec
from nbflow.core.attempt import ErrorKind, Outcome, TaskError, Verdict, WorkOrder
from nbflow.core.contract import read_contract
from nbflow.core.early import prepares_imports
from nbflow.core.literals import LiteralError, injected_source
from nbflow.core.masking import Masker
from nbflow.core.messages import Report
from nbflow.core.params import check_value
from nbflow.core.spec import EMPTY
from nbflow.core.values import decode, plain
from nbflow.errors import NbflowError
from nbflow.kernels.environ import OWNER_MARK
from nbflow.kernels.specs import KernelSpec, find_kernel
from nbflow.worker import journal as jr
from nbflow.worker import snapshot
from nbflow.worker.control import Control
from nbflow.worker.fold import Folded, FoldError, fold
from nbflow.worker.masking import mask_stderr, masked_document, masked_ending, masked_report
from nbflow.worker.mending import missing_tails
from nbflow.worker.publish import publish
from nbflow.worker.secrets import Around, Values, resolve
from nbflow.worker.session import Ending, KernelSource, Session
from nbflow.worker.snapshot import Source, SourceError
from nbflow.worker.spool import Spools
from nbflow.worker.surroundings import changed_packages, say_changes, surroundings

ANY_KERNEL = ""
"""In place of a kernel's name: what holds for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What an attempt begins with. `refused` says why it cannot run; its notebook is made all the same.

    `document` is what runs; what is kept of it is masked by `masker`, which knows the `secrets`.
    """

    source: Source
    document: dict[str, Any]
    kernel: KernelSpec | None
    parameters: dict[str, Any]
    surroundings: dict[str, Any]
    secrets: Values = field(default_factory=Values)
    masker: Masker = field(default_factory=lambda: Masker({}), repr=False)
    refused: str | None = None


def execute(
    order: WorkOrder,
    control: Control,
    report: Callable[[Report], None],
    *,
    grace: float = 10.0,
    zygotes: Mapping[str, str] = EMPTY,
    reasons: Mapping[str, str] = EMPTY,
) -> Outcome:
    """Carry out an order and publish what came of it. `grace`: seconds that an interrupted cell gets to end.

    `zygotes` are the sockets of kernel zygotes by kernel name; `reasons` say why a kernel has none, or ANY_KERNEL.
    """
    began = time.monotonic()
    try:
        journal = jr.Journal.create(order.journal)
    except jr.JournalError as error:
        return _archive_failed(error.message, began)
    try:
        prepared = prepare(order)
        prepared = _with_secrets(prepared, order, control)
        source = _kernel_source(prepared, zygotes, reasons)
        session = _session(order, prepared, journal, control, report, source=source, grace=grace, began=began)
        ending = _run(order, prepared, journal, session)
        note_changes(journal, prepared)
        write_ending(journal, masked_ending(ending, prepared.masker), time.monotonic() - began)
        return settle(order, journal, prepared.masker)
    except jr.JournalError as error:
        return _salvage(order, journal, error.message, time.monotonic() - began, prepared.masker)
    finally:
        journal.close()


def prepare(order: WorkOrder) -> Prepared:
    """Read the source once, check contract and values again, make the document that runs."""
    source = snapshot.empty_source()
    kernel: KernelSpec | None = None
    parameters: dict[str, Any] = {}
    refused: str | None = None
    try:
        source = snapshot.read_source(order.notebook)
        values = {name: decode(value) for name, value in order.params.items()}
        parameters = {name: plain(value) for name, value in values.items()}
        bare = snapshot.prepare(source.document, None)
        kernel = find_kernel(snapshot.kernel_name(bare, order.kernel))
        values = _checked(source.document, values)
        injected = injected_source(values, kernel.language.lower()) if values else None
        document = snapshot.prepare(source.document, injected)
    except (SourceError, LiteralError, ValueError) as error:
        refused = str(error)
    except NbflowError as error:
        refused = error.message
    if refused is not None:
        document = snapshot.prepare(source.document, None)
    return Prepared(
        source=source,
        document=document,
        kernel=kernel,
        parameters=parameters,
        surroundings=surroundings(kernel),
        refused=refused,
    )


def _with_secrets(prepared: Prepared, order: WorkOrder, control: Control) -> Prepared:
    """What an attempt begins with, and the values of its secrets; that one has none refuses the attempt.

    One that cannot run anyhow is masked too; one that was asked to stop meanwhile is to end as such.
    """
    if not order.secrets:
        return prepared
    environment = {**os.environ, OWNER_MARK: order.journal}
    values = resolve(order.secrets, Around(root=order.root, environment=environment, control=control))
    masker = Masker(values.secrets)
    mask_stderr(masker)
    refused = prepared.refused or (values.refused if control.stop is None else None)
    return replace(prepared, secrets=values, masker=masker, refused=refused)


def _checked(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the notebook declares them: text becomes a path, an integer a float, where it asks for one."""
    contract = read_contract(document)
    found: dict[str, Any] = {}
    for name, value in values.items():
        declared = contract.declared.get(name)
        if declared is None:
            if contract.complete and contract.has_cell:
                raise SourceError(f"the notebook does not declare the parameter {name!r}")
            found[name] = value
            continue
        try:
            found[name] = check_value(value, declared.type, nullable=declared.nullable, options=declared.options)
        except ValueError as error:
            raise SourceError(f"parameter {name!r}: {error}") from error
    return found


def write_header(journal: jr.Journal, order: WorkOrder, prepared: Prepared) -> None:
    """The first records: everything about the attempt that is known before its kernel starts."""
    document, open_secrets = masked_document(prepared.document, prepared.masker)
    kernel = prepared.kernel
    digest = prepared.source.sha256
    journal.append(
        "attempt",
        version=jr.VERSION,
        at=jr.instant(),
        order=codec.dump(replace(order, params={})),
        parameters=prepared.masker.data(prepared.parameters, keys=False, numbers=True),
        source={
            "path": _relative(order.notebook, order.root),
            "sha256": digest,
            "changed": None if digest is None or order.sha256 is None else digest != order.sha256,
        },
        document=document,
        kernel=kernel.metadata if kernel is not None else {},
        environment=prepared.surroundings,
        worker={"pid": os.getpid(), "started": process_start(os.getpid())},
    )
    for text in (*prepared.secrets.warnings, *open_secrets):
        journal.append("warning", text=text)


def note_changes(journal: jr.Journal, prepared: Prepared) -> None:
    """Record what the notebook has changed of the packages that it can import."""
    if changes := changed_packages(prepared.kernel, prepared.surroundings["packages"]):
        journal.append("packages", changed=changes)
        journal.append("warning", text=say_changes(changes))


def write_ending(journal: jr.Journal, ending: Ending, duration: float | None) -> None:
    """Keep how the attempt ended. `duration` is in seconds; None where nobody knows."""
    record = ending_record(ending, duration)
    journal.append(record.pop("type"), **record)


def ending_record(ending: Ending, duration: float | None) -> jr.Record:
    """The record that says how an attempt ended. `duration` is in seconds; None where nobody knows."""
    return {
        "type": "ended",
        "at": jr.instant(),
        "verdict": ending.verdict.value,
        "error": None if ending.error is None else codec.dump(ending.error),
        "stopped_at": ending.stopped_at,
        "duration": None if duration is None else round(duration, 6),
    }


def settle(order: WorkOrder, journal: jr.Journal, masker: Masker | None = None) -> Outcome:
    """Make the notebook of an ended attempt from its journal, publish it, and give its outcome.

    The journal is masked; what is published is searched once more for the values that `masker` knows.
    """
    folded = fold(journal.records())
    if tails := list(missing_tails(journal.path, folded)):
        for tail in tails:
            journal.append(tail.pop("type"), **tail)
        folded = fold(journal.records())
    outcome = _publish(order, folded, masker)
    if outcome.files:
        journal.append("published", files=[codec.dump(file) for file in outcome.files])
    return outcome


def _run(order: WorkOrder, prepared: Prepared, journal: jr.Journal, session: Session | None) -> Ending:
    """Write down how the attempt begins, and run its cells. Without a session there is nothing to run."""
    if session is None:
        write_header(journal, order, prepared)
        error = TaskError(kind=ErrorKind.START_FAILED, message=prepared.refused or "no kernel")
        return Ending(verdict=Verdict.FAILED, error=error)
    from nbflow.worker.engine import through_papermill
    from nbflow.worker.start import asked_ahead

    with asked_ahead(session) as started:
        write_header(journal, order, prepared)
        return through_papermill(started)


def _session(
    order: WorkOrder,
    prepared: Prepared,
    journal: jr.Journal,
    control: Control,
    report: Callable[[Report], None],
    *,
    source: KernelSource,
    grace: float,
    began: float,
) -> Session | None:
    """What is to be run; None where it cannot be."""
    if prepared.refused is not None or prepared.kernel is None:
        return None
    return Session(
        task=order.task,
        attempt=order.attempt,
        document=prepared.document,
        kernel=prepared.kernel,
        source=source,
        root=order.root,
        limits=order.limits,
        grace=grace,
        began=began,
        variables={**variables(order), **prepared.secrets.secrets},
        withheld=order.withheld,
        masker=prepared.masker,
        journal=journal,
        spools=_spools(order, prepared),
        control=control,
        report=(lambda one: report(masked_report(one, prepared.masker))) if prepared.masker else report,
    )


def _kernel_source(prepared: Prepared, zygotes: Mapping[str, str], reasons: Mapping[str, str]) -> KernelSource:
    name = prepared.kernel.name if prepared.kernel is not None else ""
    if name in zygotes and prepares_imports(prepared.document):
        what = "variables, its folder or search path, installs packages or runs other files"
        return KernelSource(reason=f"the notebook changes {what} before it imports libraries")
    return KernelSource(zygote=zygotes.get(name), reason=reasons.get(name, reasons.get(ANY_KERNEL)))


def _spools(order: WorkOrder, prepared: Prepared) -> Spools:
    """Where the attempt puts what is too long for its notebook; files are named by the numbers of code cells."""
    cells = enumerate(snapshot.code_cells(prepared.document), start=1)
    return Spools(Path(order.journal), order.slug, {index: number for number, (index, _) in cells})


def variables(order: WorkOrder) -> dict[str, str]:
    """Environment variables by which `nbflow.run` knows where it is, and by which an attempt's processes are found."""
    return {
        "NBFLOW_RUN": order.run,
        "NBFLOW_PIPELINE": order.pipeline,
        "NBFLOW_TASK": order.task,
        "NBFLOW_ATTEMPT": str(order.attempt),
        "NBFLOW_LOGICAL_DATE": order.logical_date,
        OWNER_MARK: order.journal,
    }


def _publish(order: WorkOrder, folded: Folded, masker: Masker | None) -> Outcome:
    try:
        return replace(folded.outcome, files=publish(order, folded.document, masker))
    except NbflowError as error:
        failure = TaskError(kind=ErrorKind.ARCHIVE, message=error.message)
        return replace(folded.outcome, verdict=Verdict.FAILED, error=failure)


def _salvage(order: WorkOrder, journal: jr.Journal, message: str, duration: float, masker: Masker) -> Outcome:
    """The journal cannot be written any more: make the notebook of what it holds, if that can still be read.

    Where somebody has removed it, with the files beside it, nothing is wrong with the archive, which others use.
    """
    failure = TaskError(kind=ErrorKind.ARCHIVE, message=message)
    if journal.is_removed:
        failure = TaskError(kind=ErrorKind.LOST, message=f"its journal was removed while it ran: {message}")
    ended = ending_record(Ending(verdict=Verdict.FAILED, error=failure), duration)
    try:
        return settle_unwritten(order, [*journal.records(), ended], masker)
    except (jr.JournalError, FoldError):
        return Outcome(verdict=Verdict.FAILED, error=failure, duration=duration)


def settle_unwritten(order: WorkOrder, records: Sequence[jr.Record], masker: Masker) -> Outcome:
    """As `settle`, of records that cannot all be written to the journal any more.

    Raises FoldError for those that are none of an attempt.
    """
    folded = fold(records)
    try:
        folded = fold([*records, *missing_tails(Path(order.journal), folded)])
    except jr.JournalError as error:
        # Where the journal fails, what lies beside it may fail too; the notebook then ends with the head of the text.
        folded.document["metadata"]["nbflow"]["warnings"].append(error.message)
    return _publish(order, folded, masker)


def _archive_failed(message: str, began: float) -> Outcome:
    error = TaskError(kind=ErrorKind.ARCHIVE, message=message)
    return Outcome(verdict=Verdict.FAILED, error=error, duration=time.monotonic() - began)


def _relative(path: str, root: str) -> str:
    place = PurePath(path)
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else place.as_posix()


def process_start(pid: int) -> float:
    """When a process began, seconds since the epoch: with it a pid names one process only."""
    import psutil

    return float(psutil.Process(pid).create_time())
