"""What doctor finds, on a machine that is as the test wants it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NamedTuple

import pytest

from nbflow import doctor
from nbflow.doctor import Check, Finding, examine
from nbflow.errors import NotFoundError, UnreachableError
from nbflow.kernels.runtime import RuntimeFolder
from nbflow.store.postgres.store import PostgresStore
from nbflow.store.sqlite import SqliteStore
from support.build import planned
from support.earlier import make_earlier
from support.folders import Folder
from support.postgres import schema, server
from support.stored import Kept, cells


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.notebook("a.ipynb")
    folder.write("pipelines.toml", '[pipelines.p.tasks]\na = { notebook = "a.ipynb" }\n')
    return folder


def found(folder: Folder, name: str) -> list[Check]:
    return [check for check in examine(folder.file) if check.name == name]


def one(folder: Folder, name: str) -> Check:
    [check] = found(folder, name)
    return check


def test_this_machine_is_well(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    before = sorted(folder.root.rglob("*"))
    checks = list(examine(folder.file))
    assert [check for check in checks if check.finding is Finding.FAIL] == []
    names = [check.name for check in checks]
    wanted = ["python", "packages", "kernels", "sockets", "sqlite", "git", "project", "archive", "disk", "store"]
    assert [name for name in names if name in wanted] == wanted
    assert sorted(folder.root.rglob("*")) == before, "it changes nothing"


def test_how_limits_of_resources_hold(folder: Folder) -> None:
    assert "memory is watched" in one(folder, "resources").message


def test_without_a_project_there_is_nothing_more_to_look_at(tmp_path: Path) -> None:
    names = [check.name for check in examine(tmp_path / "pipelines.toml")]
    assert names[-1] == "project"


@pytest.mark.parametrize(
    ("package", "installed", "finding", "code"),
    [
        ("nbconvert", "7.17.0", Finding.FAIL, 2),
        ("nbconvert", "7.17.1", None, 0),
        ("nbconvert", "7.17.1.post1+local", None, 0),
        ("nbconvert", "8", None, 0),
        ("tornado", None, Finding.FAIL, 2),
        ("jupyterlab", "4.5.7", Finding.WARN, 0),
        ("jupyterlab", None, None, 0),
    ],
)
def test_packages_that_are_old_or_missing_are_named(
    package: str, installed: str | None, finding: Finding | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name != package:
            return "9999"
        if installed is None:
            raise PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(doctor, "version", version)
    checks = [check for check in doctor._packages() if check.name == package]
    assert [(check.finding, check.exit_code) for check in checks] == ([(finding, code)] if finding else [])
    assert all(check.hint for check in checks)


def write_kernel(root: Path, name: str, argv: list[str]) -> None:
    place = root / "kernels" / name
    place.mkdir(parents=True)
    place.joinpath("kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "x"}))


def test_a_kernel_whose_program_is_gone_is_a_warning(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    write_kernel(tmp_path / "jupyter", "gone", ["/nowhere/python", "-f", "{connection_file}"])
    write_kernel(tmp_path / "jupyter", "shell", ["sh", "-c", "true"])
    check = one(folder, "kernel gone")
    assert check.finding is Finding.WARN
    assert "/nowhere/python" in check.message
    assert "shell" in one(folder, "kernels").message


def test_without_kernels_nothing_can_run(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbflow.kernels.specs.installed_kernels", list)
    check = one(folder, "kernels")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)


def test_no_place_for_sockets(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> RuntimeFolder:
        raise UnreachableError("no folder for the kernel's sockets", hint="set TMPDIR")

    monkeypatch.setattr(RuntimeFolder, "create", refuse)
    check = one(folder, "sockets")
    assert (check.finding, check.exit_code, check.hint) == (Finding.FAIL, 6, "set TMPDIR")


def test_old_sqlite_and_no_git(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 0))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert one(folder, "sqlite").exit_code == 6
    assert one(folder, "git").finding is Finding.WARN


def test_bytecode_that_is_not_kept_is_a_warning(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert one(folder, "bytecode").finding is Finding.WARN


def test_a_faulty_project_points_to_validate(folder: Folder) -> None:
    folder.write("pipelines.toml", "[pools]\np = 0\n")
    check = one(folder, "project")
    assert (check.finding, check.exit_code, check.hint) == (Finding.FAIL, 2, "see: nbflow validate")


def test_an_archive_that_is_no_folder(folder: Folder) -> None:
    folder.write("outputs", "a file")
    check = one(folder, "archive")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)


@pytest.mark.parametrize("outputs", ["/proc/nbflow/outputs", "pipelines.toml/outputs", "lost"])
def test_an_archive_that_cannot_be_made(folder: Folder, outputs: str) -> None:
    (folder.root / "lost").symlink_to(folder.root / "nowhere")
    text = folder.file.read_text()
    folder.file.write_text(f'[nbflow]\noutputs = "{outputs}"\n{text}')
    check = one(folder, "archive")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)
    assert "cannot be written" in check.message
    assert check.hint


def test_an_archive_that_is_not_there_yet_is_not_made(folder: Folder) -> None:
    before = sorted(folder.root.rglob("*"))
    assert one(folder, "archive").finding is Finding.OK
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.parametrize(("free", "finding"), [(10**12, Finding.OK), (10**8, Finding.WARN), (10**6, Finding.FAIL)])
def test_room_on_the_disk(free: int, finding: Finding, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    assert one(folder, "disk").finding is finding


def test_a_store_that_is_none(folder: Folder) -> None:
    folder.write("outputs/.nbflow/state.db", "not a database, but long enough to be looked at").chmod(0o600)
    check = one(folder, "store")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)
    assert check.hint


def test_a_store_that_is_a_link_to_nothing(folder: Folder) -> None:
    (folder.root / "outputs" / ".nbflow").mkdir(parents=True)
    (folder.root / "outputs" / ".nbflow" / "state.db").symlink_to(folder.root / "nowhere.db")
    check = one(folder, "store")
    assert check.finding is Finding.FAIL
    assert "is a link" in check.message


def test_a_store_below_a_file(folder: Folder) -> None:
    above = folder.root / "outputs" / ".nbflow"
    above.parent.mkdir()
    above.touch()
    check = one(folder, "store")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)
    assert check.message == f"{above / 'state.db'}: {above} is no folder"


def test_a_store_that_others_can_read_is_a_warning(folder: Folder) -> None:
    path = folder.root / "outputs" / ".nbflow" / "state.db"
    SqliteStore(path).close()
    assert one(folder, "store").finding is Finding.OK
    path.chmod(0o644)
    assert [check.finding for check in found(folder, "store")] == [Finding.WARN, Finding.OK]


def test_a_deep_look_at_the_store(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.root / "outputs" / ".nbflow" / "state.db"
    path.parent.mkdir(parents=True)
    make_earlier(path)
    path.chmod(0o600)
    whole, upgrade = found(folder, "store")
    assert whole.message.startswith(f"{path}: whole; 1 run, ")
    assert "from schema 1 to" in upgrade.message
    with closing(SqliteStore(path)) as store:
        run = Kept(store, planned("a"), run="large")
        store.append(*cells(run.state, 300, "x" * 100), run.fence)
        store.removals.remove("large", run.fence)
        monkeypatch.setattr(doctor, "MUCH_FREE", 1000)
        monkeypatch.setattr(doctor, "LARGE_LOG", 1000)
        checks = found(folder, "store")
        assert [check.finding for check in checks] == [Finding.OK, *[Finding.WARN] * 3]
        assert (checks[1].message, checks[1].hint) == ("1 removal has been begun", "nbflow prune finishes it")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096 * 3)
    check = one(folder, "store")
    assert (check.finding, check.exit_code) == (Finding.FAIL, 6)
    assert "is damaged" in check.message
    assert "state.db.v1-" in str(check.hint)
    assert "sqlite3 state.db .recover" in str(check.hint)


class TestADatabase:
    """A store on a server."""

    def write(self, folder: Folder, url: str) -> None:
        folder.write(
            "pipelines.toml", f'[nbflow]\nstate = "{url}"\n[pipelines.p.tasks]\na = {{ notebook = "a.ipynb" }}\n'
        )

    def test_what_it_is(self, folder: Folder) -> None:
        name = schema()
        self.write(folder, server().url(name))
        check = one(folder, "store")
        assert check.finding is Finding.OK
        assert ": PostgreSQL 18." in check.message
        assert check.message.endswith(f"schema {name}, which the first run will make")
        PostgresStore(server().url(name)).close()
        assert one(folder, "store").message.endswith(f"schema {name}")

    def test_a_removal_that_was_begun(self, folder: Folder) -> None:
        name = schema()
        self.write(folder, server().url(name))
        with closing(PostgresStore(server().url(name))) as store:
            for run in ("one", "two"):
                store.removals.remove(run, Kept(store, planned("a"), run=run).fence)
        whole, begun = found(folder, "store")
        assert (whole.finding, begun.finding) == (Finding.OK, Finding.WARN)
        assert (begun.message, begun.hint) == ("2 removals have been begun", "nbflow prune finishes them")

    def test_one_that_cannot_be_reached_is_named_without_its_password(self, folder: Folder) -> None:
        self.write(folder, f"postgresql://me:hunter2@/nowhere?host={server().folder}")
        check = one(folder, "store")
        assert (check.finding, check.exit_code) == (Finding.FAIL, 6)
        assert check.message.startswith(f"postgresql:///nowhere?host={server().folder}: the store cannot be used: ")
        assert "hunter2" not in "".join(f"{one.message}{one.hint}" for one in examine(folder.file))


class TestStarts:
    """How the kernels of the project are started."""

    def test_forked(self, folder: Folder) -> None:
        assert one(folder, "kernel python3").message == "forked from a zygote"

    def test_given_modules_that_are_not_there(self, folder: Folder) -> None:
        path = folder.root / "pipelines.toml"
        path.write_text(path.read_text() + '\n[kernels.python3]\npreload = ["json.decoder", "nosuchmod.x"]\n')
        fine, warned = found(folder, "kernel python3")
        assert (fine.finding, warned.finding) == (Finding.OK, Finding.WARN)
        assert warned.message == "preload: that kernel's Python has no nosuchmod"

    def test_not_wanted(self, folder: Folder) -> None:
        folder.write("pipelines.toml", f"kernels.Python3.preload = false\n{folder.file.read_text()}")
        assert one(folder, "kernel python3").message == "ordinary start: preload = false"

    def test_not_possible(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nbflow.kernels.specs.why_not_forked", lambda _: "only Python kernels are forked")
        assert one(folder, "kernel python3").message == "ordinary start: only Python kernels are forked"

    def test_damaged(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        def damaged(name: str) -> None:
            raise NotFoundError(f"the kernel.json of kernel {name} cannot be used")

        monkeypatch.setattr("nbflow.kernels.specs.find_kernel", damaged)
        assert Finding.FAIL in {check.finding for check in found(folder, "kernel python3")}
