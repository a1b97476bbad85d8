"""show: whatever it is given."""

from __future__ import annotations

import pytest

from support.commands import Shell


def test_a_run_is_its_document(shell: Shell) -> None:
    shell.script["clean/1"] = ["failed clean/1 exception:ValueError"]
    last = shell("run", "sales", "--json").lines[-1]
    run = last["run"]
    for what in (run, "@last", "@last-failed", run[:-1], run[-4:]):
        assert shell("show", what, "--json").json == last
    text = shell("show", run).out
    assert "✗ failed" in text
    assert "ValueError: it broke" in text
    assert "param region  eu" in text
    assert "outputs/sales/" in text
    assert f"\nresume        nbflow resume {run}\n" in text
    shell("resume", run)
    assert "nbflow resume" not in shell("show", run).out


def test_a_task_of_a_run(shell: Shell) -> None:
    shell.script["extract/1"] = ["succeeded extract/1 rows=10"]
    run = shell.run()
    document = shell("show", f"{run}/extract", "--json").json
    assert (document["task"], document["outputs"]) == ("extract", {"rows": 10})
    text = shell("show", f"{run}/extract").out
    assert "output rows   10" in text
    assert shell("show", f"{run}/train[gbm]").code == 0
    said = shell("show", f"{run}/train")
    assert said.code == 3
    assert "name one of: train[ridge], train[gbm]" in said.err


def values(shell: Shell, *arguments: str) -> dict[str, tuple[object, object]]:
    """Key -> (value, "layer file:line")."""
    found = shell(*arguments, "--json").json["values"]
    return {one["key"]: (one["value"], f"{one['layer']} {one['file']}:{one['line']}") for one in found}


def test_a_pipeline_with_where_each_value_came_from(shell: Shell) -> None:
    shell.folder.file.write_text(
        '[defaults]\ntimeout = "30m"\n[pipelines.a]\nretries = 2\n[pipelines.a.params]\nday = 2026-01-31\n'
        '[pipelines.a.tasks]\nx = { notebook = "clean.ipynb", retry_delay = "90s", resources.memory = "4GB" }\n'
        '[profiles.prod.defaults]\ntimeout = "1h"\n'
    )
    found = values(shell, "show", "a")
    assert found["pipelines.a.params.day.default"] == ("2026-01-31", "pipeline pipelines.toml:6")
    assert found["pipelines.a.tasks.x.retries"] == (2, "pipeline pipelines.toml:4")
    assert found["pipelines.a.tasks.x.retry_delay"] == (90.0, "task pipelines.toml:8")
    assert found["pipelines.a.tasks.x.timeout"] == (1800.0, "defaults pipelines.toml:2")
    assert found["pipelines.a.tasks.x.pool"] == (None, "default None:None")
    assert found["nbflow.timezone"] == ("UTC", "default None:None")
    assert values(shell, "--profile", "prod", "show", "a")["pipelines.a.tasks.x.timeout"] == (
        3600.0,
        "profile pipelines.toml:10",
    )
    lines = {line.split()[0]: line.split()[1:] for line in shell("show", "a").out.splitlines()}
    assert lines["tasks.x.retry_delay"] == ["1m", "30s", "pipelines.toml:8"]
    assert lines["tasks.x.resources.memory"] == ["4.0", "GB", "pipelines.toml:8"]
    assert lines["tasks.x.timeout"] == ["30m", "pipelines.toml:2", "(defaults)"]


def test_one_task_of_a_pipeline(shell: Shell) -> None:
    found = values(shell, "show", "sales.train")
    assert found["pipelines.sales.tasks.train.matrix"][0] == {"model": ["ridge", "gbm"]}
    assert all(key.startswith("pipelines.sales.tasks.train.") for key in found)
    said = shell("show", "sales.tarin")
    assert said.code == 3
    assert "its tasks: extract, clean, train" in said.err


def test_every_value_has_an_origin_and_every_origin_a_value(shell: Shell) -> None:
    """What `show` prints and what the configuration knows are the same keys."""
    from nbflow.core.settings import pipeline_settings, project_settings
    from nbflow.project import Project

    with Project.open(shell.folder.file) as project:
        keys = [key for key, _ in project_settings(project.spec)]
        for pipeline in project.spec.pipelines.values():
            keys += [key for key, _ in pipeline_settings(pipeline)]
        known = {key for key in project.spec.origins if not is_whole_param(key)}
        assert set(keys) == known
        assert len(keys) == len(known)


def is_whole_param(key: str) -> bool:
    parts = key.split(".")
    return len(parts) == 4 and parts[2] == "params"


@pytest.mark.parametrize("what", ["nope", "none.ipynb", "nope/clean", "", "a\0b", "-1"])
def test_what_is_nothing(what: str, shell: Shell) -> None:
    shell.run()
    said = shell("show", "--", what)
    assert said.code == 3
    assert "hint: " in said.err


def test_a_pipeline_goes_before_a_run(shell: Shell) -> None:
    """Every run id of `sales` begins with its name."""
    shell.run()
    assert "values" in shell("show", "sales", "--json").json
    assert "tasks" in shell("show", "sales-", "--json").json
