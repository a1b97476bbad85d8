"""open and report."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest

from support.commands import Shell

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that the browser was given, on a machine with a display."""
    found: list[str] = []

    def browse(address: str) -> bool:
        found.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    monkeypatch.setenv("DISPLAY", ":0")
    return found


def page_of(shell: Shell, run: str) -> Path:
    return shell.folder.root / "outputs" / "sales" / run / "index.html"


def test_open_gives_the_page_to_the_browser_and_prints_it(shell: Shell, opened: list[str]) -> None:
    run = shell.run()
    page = page_of(shell, run)
    said = shell("open", "@last")
    assert (said.code, said.out) == (0, f"{page}\n")
    assert opened == [page.as_uri()]
    assert shell("open", run, "--json").json == {"path": str(page), "opened": True}


def test_open_only_prints_when_told_so_or_without_a_display(
    shell: Shell, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run()
    assert shell("open", "@last", "--print").out.endswith("index.html\n")
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert shell("open", "@last", "--json").json["opened"] is False
    assert opened == []


def test_a_browser_that_fails_is_no_failure(shell: Shell, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> bool:
        raise webbrowser.Error("no browser")

    shell.run()
    monkeypatch.setattr(webbrowser, "open", broken)
    assert shell("open", "@last", "--json").json["opened"] is False


def test_a_task_without_a_page(shell: Shell, opened: list[str]) -> None:
    run = shell.run()
    said = shell("open", f"{run}/clean")
    assert said.code == 3
    assert f"why: nbflow explain {run}/clean" in said.err
    assert opened == []


def test_a_report_is_made_again_where_it_is_gone(shell: Shell) -> None:
    run = shell.run()
    page = page_of(shell, run)
    page.unlink()
    said = shell("report", run)
    assert (said.code, said.out) == (0, f"{page}\n")
    assert page.is_file()


def test_a_report_may_be_copied(shell: Shell) -> None:
    run = shell.run()
    said = shell("report", run, "-o", "r {1} 100%.html", "--json")
    copy = shell.folder.root / "r {1} 100%.html"
    assert said.json == {"path": str(copy)}
    assert copy.read_bytes() == page_of(shell, run).read_bytes()
    assert shell("report", run, "-o", "none/r.html").code == 2


@pytest.mark.parametrize("command", ["open", "report"])
def test_no_such_run(command: str, shell: Shell) -> None:
    assert shell(command, "nope").code == 3
    assert shell(command, "@last").code == 3
