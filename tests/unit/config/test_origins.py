"""Where values come from, for `nbflow show PIPELINE`."""

from __future__ import annotations

import pytest

from nbflow.core.spec import Origin
from support.folders import Folder

TEXT = """\
[nbflow]
timezone = "Europe/Prague"
[defaults]
retries = 1
timeout = 10
[pools]
w = 1
[pipelines.a]
retries = 2
timeout = 99
kernel = "k"
[pipelines.a.params]
plain = 1
full = { default = 2, min = 0 }
[pipelines.a.tasks]
x = { notebook = "x.ipynb", retries = 3, params = { p = 1 } }
y = { notebook = "y.ipynb" }
[profiles.prod]
pipelines.a.kernel = "k2"
pipelines.a.params.full = 3
"""


def origins(folder: Folder, profile: str | None = None, text: str = TEXT) -> dict[str, Origin]:
    spec = folder.load(text, profile).spec
    assert spec is not None
    return dict(spec.origins)


def at(layer: str, line: int, file: str = "pipelines.toml") -> Origin:
    return Origin(layer=layer, file=file, line=line)


def test_every_value_has_an_origin(folder: Folder) -> None:
    found = origins(folder)
    task = "pipelines.a.tasks"
    assert found["nbflow.timezone"] == at("project", 2)
    assert found["nbflow.outputs"] == Origin(layer="default")
    assert found["pools.w"] == at("project", 7)
    assert found["pipelines.a.timeout"] == at("pipeline", 10)
    assert found["pipelines.a.tags"] == Origin(layer="default")
    assert found[f"{task}.x.retries"] == at("task", 16)
    assert found[f"{task}.y.retries"] == at("pipeline", 9)
    assert found[f"{task}.y.timeout"] == at("defaults", 5)
    assert found[f"{task}.y.kernel"] == at("pipeline", 11)
    assert found[f"{task}.y.pool"] == Origin(layer="default")
    assert found[f"{task}.x.params.p"] == at("task", 16)
    assert found["pipelines.a.params.plain"] == at("pipeline", 13)
    assert found["pipelines.a.params.plain.default"] == at("pipeline", 13)
    assert found["pipelines.a.params.plain.type"] == Origin(layer="default")
    assert found["pipelines.a.params.full.min"] == at("pipeline", 14)


def test_a_profile_is_a_layer_of_its_own(folder: Folder) -> None:
    found = origins(folder, "prod")
    assert found["pipelines.a.tasks.y.kernel"] == at("profile", 19)
    assert found["pipelines.a.params.full.default"] == at("profile", 20)
    assert found["pipelines.a.params.full.min"] == at("pipeline", 14)


def test_included_files_and_their_defaults(folder: Folder) -> None:
    folder.write("b/more.toml", '[defaults]\npool = "w"\n[pipelines.b.tasks]\nx = { notebook = "x.ipynb" }\n')
    found = origins(folder, text='nbflow.include = ["b/*.toml"]\n' + TEXT.replace("[nbflow]\ntime", "nbflow.time"))
    assert found["pipelines.b.tasks.x.pool"] == at("defaults", 2, "b/more.toml")
    assert found["pipelines.b.tasks.x.retries"] == at("defaults", 4)
    assert found["pipelines.b.tasks.x.notebook"] == at("task", 4, "b/more.toml")


def test_resources_have_origins_one_by_one(folder: Folder) -> None:
    text = 'defaults.resources.memory = "1GB"\n[pipelines.a]\nresources.cpu = 2\n[pipelines.a.tasks]\n'
    found = origins(folder, text=f'{text}x = {{ notebook = "x.ipynb", resources.cpu = 1 }}\ny.notebook = "y.ipynb"\n')
    assert found["pipelines.a.tasks.x.resources.cpu"] == at("task", 5)
    assert found["pipelines.a.tasks.x.resources.memory"] == at("defaults", 1)
    assert found["pipelines.a.tasks.y.resources.cpu"] == at("pipeline", 3)
    assert "pipelines.a.tasks.y.resources.gpu" not in found


def test_keys_that_the_specification_has_not_are_no_keys(folder: Folder) -> None:
    spec = folder.load(TEXT).spec
    assert spec is not None
    for key in ("x", "pipelines.z.timeout", "pipelines.a.tasks.z.pool", "pipelines.a.tasks.x.nope", "pools.z", ""):
        with pytest.raises(KeyError):
            spec.origins[key]
    assert len(spec.origins) == len(set(spec.origins))


def test_kernels_have_origins_also_those_with_dots_in_their_names(folder: Folder) -> None:
    found = origins(folder, text=f'{TEXT}[kernels."py3.11"]\npreload = false\n[kernels.r]\n')
    assert found["kernels.py3.11.preload"] == at("project", 22)
    assert found["kernels.r.preload"] == Origin(layer="default")
    assert "kernels.other.preload" not in found
