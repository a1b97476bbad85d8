"""What holds for all tests: hypothesis judges results, not the speed of a busy machine; variables stay as they are."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("nbflow", deadline=None)
settings.load_profile("nbflow")

# Tests send this signal; under nohup it would be ignored, by them and by all that they start.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """As for the test itself."""
    os.environ.pop("PYTEST_CURRENT_TEST", None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """Take out what pytest puts into the environment of each test: an executor starts anew when that has changed."""
    os.environ.pop("PYTEST_CURRENT_TEST", None)
