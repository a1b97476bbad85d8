"""The commands that look at what the project declares: list, graph, plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

from nbflow.archive.words import count
from nbflow.cli.files import write_file
from nbflow.cli.options import Asked, request_of, selection_options, value_options
from nbflow.cli.session import Session, json_option, pass_session
from nbflow.cli.states import look
from nbflow.cli.summary import print_plan
from nbflow.cli.text import Cell, one_line
from nbflow.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from nbflow.archive.draw import DrawnTask
    from nbflow.core.spec import Pipeline
    from nbflow.project import Project

FORMATS = ("text", "svg", "dot", "mermaid", "json")


@click.command("list")
@json_option()
@pass_session
def list_command(session: Session) -> None:
    """List the pipelines.

    Each with its tasks, its description and the state of its newest run.
    """
    with session.project() as project:
        documents = [_pipeline_document(project, pipeline) for pipeline in project.spec.pipelines.values()]
        if session.outputs.json:
            session.out.document({"pipelines": documents})
        elif not documents:
            session.out.line(f"{project.spec.file} declares no pipeline")
        else:
            rows = [_pipeline_row(session, document) for document in documents]
            session.out.table(("pipeline", "tasks", "last run", "tags", "description"), rows)


@click.command("graph")
@click.argument("pipeline", required=False)
@click.option(
    "-f", "--format", "shape", type=click.Choice(FORMATS), default="text", show_default=True, help="How to draw it."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE.")
@json_option("The same as -f json.")
@pass_session
def graph_command(session: Session, pipeline: str | None, shape: str, output: Path | None) -> None:
    """Draw the tasks of a pipeline in their order.

    \b
    nbflow graph sales
    nbflow graph sales -f svg -o sales.svg
    """
    shape = "json" if session.outputs.json else shape
    with session.project() as project:
        chosen = [project.pipeline(pipeline)] if pipeline is not None else list(project.spec.pipelines.values())
        _require_order(project, chosen)
        text = _drawn(shape, chosen, one=pipeline is not None)
    if output is not None:
        write_file(output, text)
        session.err.line(f"wrote {session.shown_path(output)}")
    else:
        session.out.write(text)


@click.command("plan")
@click.argument("pipeline")
@value_options
@selection_options
@json_option()
@pass_session
def plan_command(session: Session, pipeline: str, **asked: Unpack[Asked]) -> None:
    """Say what a run would do with each task, and why. Runs nothing.

    \b
    nbflow plan sales -s +report
    """
    request = request_of(asked, asked)
    with session.project() as project:
        print_plan(session, project.plan(pipeline, request))


def _pipeline_document(project: Project, pipeline: Pipeline) -> dict[str, Any]:
    newest = project.runs.rows(pipeline.name, limit=1)
    return {
        "pipeline": pipeline.name,
        "description": pipeline.description,
        "tags": list(pipeline.tags),
        "tasks": list(pipeline.tasks),
        "params": list(pipeline.params),
        "last_run": project.runs.summary(newest[0]) if newest else None,
    }


def _pipeline_row(session: Session, document: dict[str, Any]) -> list[Cell | str]:
    last = document["last_run"]
    state = session.out.state(look(last["state"])) if last else Cell("never", "dim")
    return [
        Cell(document["pipeline"], "bold"),
        Cell(str(len(document["tasks"])), right=True),
        state,
        ", ".join(document["tags"]),
        document["description"] or "",
    ]


def _require_order(project: Project, pipelines: Sequence[Pipeline]) -> None:
    """Raise ConfigError, with all that is wrong with the project, where tasks wait for each other in a circle."""
    from nbflow.core import graph

    if any(graph.find_cycle({task.name: task.needs for task in one.tasks.values()}) for one in pipelines):
        raise ConfigError([problem for problem in project.validate() if not problem.warning])


def _drawn(shape: str, pipelines: Sequence[Pipeline], *, one: bool) -> str:
    """The pipelines in a format. Raises UsageError where it holds one picture and there are several."""
    import json

    if shape == "json":
        documents = [_graph_document(pipeline) for pipeline in pipelines]
        return json.dumps(documents[0] if one else {"pipelines": documents}, indent=2) + "\n"
    if shape == "text":
        from nbflow.archive.graphs import graph_text

        texts = [
            f"{one_line(one.name)}  ({count(len(one.tasks), 'task')})\n{graph_text(_tasks(one))}" for one in pipelines
        ]
        return "\n".join(texts)
    if len(pipelines) != 1:
        names = ", ".join(pipeline.name for pipeline in pipelines) or "none"
        raise UsageError(f"the format {shape} holds one pipeline", hint=f"name one of: {names}")
    return _drawers()[shape](pipelines[0])


def _drawers() -> dict[str, Callable[[Pipeline], str]]:
    from nbflow.archive.draw import graph_svg
    from nbflow.archive.graphs import graph_dot, graph_mermaid

    return {
        "svg": lambda pipeline: graph_svg(_tasks(pipeline), standalone=True),
        "dot": lambda pipeline: graph_dot(_tasks(pipeline), pipeline.name),
        "mermaid": lambda pipeline: graph_mermaid(_tasks(pipeline)),
    }


def _tasks(pipeline: Pipeline) -> list[DrawnTask]:
    """The declared tasks in topological order."""
    from nbflow.archive.draw import DrawnTask
    from nbflow.core import graph

    names = graph.order({task.name: task.needs for task in pipeline.tasks.values()})
    found = [pipeline.tasks[name] for name in names]
    return [DrawnTask(name=task.name, upstream=task.needs) for task in found]


def _graph_document(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "pipeline": pipeline.name,
        "tasks": [
            {
                "task": task.name,
                "notebook": task.notebook,
                "upstream": list(task.needs),
                "run_if": task.run_if.value,
                "when": task.when,
                "tags": list(task.tags),
            }
            for task in pipeline.tasks.values()
        ],
    }
