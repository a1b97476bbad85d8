"""What may be loaded before a fork and what may not: packages of all kinds, in real zygotes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.kernels.zygote import preload
from nbflow.kernels.zygotes import Zygote
from support.zygotes import is_gone, kernel, packages, private_runtime, until, zygote

UNFIT = {
    "prints": ("print('hello')", "prints something"),
    "warns": ("import warnings; warnings.warn('old', UserWarning)", "prints something"),
    "deprecated": ("import warnings; warnings.warn('old', DeprecationWarning, stacklevel=2)", "prints something"),
    "writes": ("import os; os.write(2, b'x')", "prints something"),
    "asks": ("from IPython import get_ipython; get_ipython()", "asks for the notebook's shell"),
    "threads": (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "leaves a thread behind",
    ),
    "connects": ("import socket; kept = socket.socket()", "leaves a connection open"),
    "hooks": ("import sys; sys.excepthook = print", "changes hooks of the interpreter"),
    "signals": ("import signal; signal.signal(signal.SIGUSR1, print)", "changes signal handlers"),
    "paths": ("import sys; sys.path.append('/x')", "changes sys.path"),
    "builtin": ("import builtins; builtins.extra = 1", "changes built-in names"),
    "logs": ("import logging; logging.basicConfig()", "changes the root logger"),
    "hushes": ("import warnings; warnings.filterwarnings('ignore')", "changes how warnings are shown"),
    "keeps": (
        "import sqlite3; kept = sqlite3.connect(__file__ + '.db'); kept.execute('create table if not exists a (b)')",
        "leaves a file open",
    ),
    "reads_only": (
        "import sqlite3; sqlite3.connect(f := __file__ + '2').execute('pragma user_version = 1'); kept = open(f)",
        "leaves a file open",
    ),
    "notes": ("kept = open(__file__ + '.log', 'a')", "leaves a file open"),
    "pipes": ("import os; kept = os.pipe()", "leaves a connection open"),
    "seeds": ("import numpy; numpy.random.seed(0)", "changes the seed"),
    "sets": ("import random; random.seed(0)", "changes the seed of Python's common generator"),
    "sets_too": ("from random import seed; seed('too')", "changes the seed of Python's common generator"),
    "moves": ("import os; os.chdir('/tmp')", "changes the working directory"),
}
FIT = {
    "plain": "value = 1",
    "fails": "raise RuntimeError('not here')",
    "leaves": "raise SystemExit(3)",
    "tosses": "import random; random.random(); random.seed()",
    "draws": "import random; generator = random.Random(); fixed = random.Random(1)",
    "numbers_": (
        "import numpy.random as r; one = r.default_rng(); other = r.RandomState(); fixed = r.default_rng(1)\n"
        "other.normal()"
    ),
    "looks": "import os; key = os.environ.get('CLOUD_KEY'); region = os.environ.get('CLOUD_REGION', 'here')",
    "opens": "kept = open(__file__)",
    "late": "import atexit; atexit.register(print, 'the last of late')",
    "fires": "import os; os.environ['FIRES'] = 'hot'",
    "ignores": "import warnings; warnings.filterwarnings('ignore', message='dull')",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def environment(place: Path) -> dict[str, str]:
    return packages(place, {**{name: source for name, (source, _) in UNFIT.items()}, **FIT})


@pytest.fixture(scope="module")
def loaded(environment: dict[str, str]) -> Iterator[Zygote]:
    """A zygote that was asked to load all of them."""
    with private_runtime(), zygote(*UNFIT, *FIT, "no_such", "json", environment=environment) as made:
        yield made


def test_what_is_unfit_is_left_out_with_its_reason(loaded: Zygote) -> None:
    assert set(loaded.left_out) == set(UNFIT)
    for name, (_, reason) in UNFIT.items():
        assert reason in loaded.left_out[name], name


def test_what_was_loaded_is_there_and_what_was_not_is_not(loaded: Zygote, environment: dict[str, str]) -> None:
    with kernel(loaded, environment=environment) as one:
        there = set(one.value("[*__import__('sys').modules]"))
        assert {"plain", "tosses", "draws", "numbers_", "looks", "opens", "late", "fires", "ignores"} <= there
        assert not {*UNFIT, "fails", "leaves"} & there
        assert one.run("import prints") == "hello"
        assert "DeprecationWarning: old" in one.run("import deprecated")
        assert one.run("import fails") == "RuntimeError: not here"
        assert one.value("__import__('os').environ['FIRES']") == "hot"


def test_generators_without_a_seed_differ_between_kernels(loaded: Zygote, environment: dict[str, str]) -> None:
    drawn = []
    for _ in range(2):
        with kernel(loaded, environment=environment) as one:
            one.run("import draws")
            drawn.append((one.value("draws.generator.random()"), one.value("draws.fixed.random()")))
    (first, fixed), (second, fixed_too) = drawn
    assert first != second
    assert fixed == fixed_too


def test_generators_of_numpy_differ_between_kernels(loaded: Zygote, environment: dict[str, str]) -> None:
    drawn = []
    for _ in range(2):
        with kernel(loaded, environment=environment) as one:
            one.run("import numbers_, json")
            drawn.append(one.value("[numbers_.one.random(), numbers_.other.normal(), numbers_.fixed.random()]"))
    (first, other, fixed), (second, another, fixed_too) = drawn
    assert first != second
    assert other != another
    assert fixed == fixed_too


def test_a_variable_that_a_module_has_looked_for(loaded: Zygote, environment: dict[str, str]) -> None:
    """Who has another value of it gets no kernel in which the module has seen none."""
    with kernel(loaded, environment={**environment, "CLOUD_KEY": "swordfish"}) as one:
        assert "another CLOUD_KEY than the zygote" in one.reply["refused"]
        assert "swordfish" not in one.reply["refused"]
    with kernel(loaded, environment={**environment, "OTHER_KEY": "swordfish"}) as one:
        assert one.value("__import__('looks').key") is None


def test_exit_handlers_of_modules_run_before_the_kernels_own(loaded: Zygote, environment: dict[str, str]) -> None:
    with kernel(loaded, environment=environment) as one:
        one.client.shell_channel.send(one.client.session.msg("shutdown_request", {"restart": False}))
        texts = []
        while not texts:
            message = one.client.get_iopub_msg(timeout=20)
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])
        assert texts == ["the last of late\n"]
        assert one.ended()["exit"] == 0


def test_a_module_of_the_project_is_the_notebooks(environment: dict[str, str], place: Path) -> None:
    """One that is not installed is not loaded; one that the project has too is not given away."""
    mine = place / "project"
    mine.mkdir(exist_ok=True)
    (mine / "plain.py").write_text("value = 'mine'")
    (mine / "local_only.py").write_text("value = 'local'")
    for name, file in (("built", "plain.abi3.so"), ("packed", "plain/__init__.pyc")):
        (place / name / file).parent.mkdir(parents=True)
        (place / name / file).touch()
    other = place / "other"
    for folder in ("plain", "psutil", "json"):  # without a file of their own, or of the standard library
        (other / folder).mkdir(parents=True)
    with private_runtime(), zygote("plain", "local_only", environment=environment, cwd=str(mine)) as made:
        assert made.left_out == {}
        for mine_too in (mine, place / "built", place / "packed"):
            with kernel(made, cwd=str(mine_too), environment=environment) as one:
                assert "plain" in one.reply["refused"]
        with kernel(made, cwd=str(other), environment=environment) as one:
            assert "local_only" not in one.value("[*__import__('sys').modules]")


def test_one_that_starts_a_thread_later(tmp_path: Path) -> None:
    """The zygote forks no more as soon as it has a second thread."""
    environment = packages(tmp_path, {"later": "import os\nos.register_at_fork(before=lambda: start())\n" + SLOW})
    with private_runtime(), zygote("later", environment=environment) as made:
        with kernel(made, environment=environment) as one:
            assert one.value("1") == 1
        reasons = []

        def is_refused() -> bool:
            with kernel(made, environment=environment) as found:
                reasons.append(found.reply.get("refused", ""))
            return "second thread" in reasons[-1]

        until(is_refused, 20)
        assert made.is_alive()


SLOW = """
import threading
forks = []
def start():
    forks.append(1)
    if len(forks) == 2:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


def test_it_knows_what_is_installed() -> None:
    assert preload.is_third_party("psutil")
    assert preload.is_third_party("psutil.no_such")
    assert not preload.is_third_party("json")
    assert not preload.is_third_party("nbflow")
    assert not preload.is_third_party("no_such_module")
    assert not preload.is_third_party("")


def test_a_python_without_ipykernel(tmp_path: Path) -> None:
    environment = packages(tmp_path, {"ipykernel": "raise ImportError('none here')"})
    with private_runtime(), zygote(environment=environment) as made:
        assert not made.is_alive()
        assert made.failure == "ImportError: none here"
        until(lambda: is_gone(made.process.pid))


def test_other_packages_are_loaded_anew(tmp_path: Path) -> None:
    """Who asks after something was installed gets what is installed; who has a kernel keeps it."""
    environment = packages(tmp_path, {"changing": "value = 1"})
    with private_runtime(), zygote("changing", environment=environment) as made:
        pid = made.process.pid
        with kernel(made, environment=environment) as old:
            assert old.value("__import__('changing').value") == 1
            packages(tmp_path, {"changing": "value = 'two'", "another": "value = 3"})
            with kernel(made, environment=environment) as new:
                assert new.value("__import__('changing').value") == "two"
                assert new.value("__import__('another').value") == 3
            assert old.value("__import__('changing').value") == 1
        assert made.process.pid == pid
        assert made.is_alive()
