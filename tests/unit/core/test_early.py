"""Environment variables that a notebook sets for its libraries are seen; what it sets later, or only reads, is not."""

from __future__ import annotations

import pytest

from nbflow.core.early import sets_variables_first
from support.attempts import code, notebook


@pytest.mark.parametrize(
    "cells",
    [
        ("import os\nos.environ['A'] = '1'", "import numpy"),
        ("import os\nos.environ['A'] = '1'\nfrom numpy import array",),
        ("from os import environ", "environ.setdefault('A', '1')\nimport numpy"),
        ("import os", "os.environ.update(A='1')", "x = 1", "def f():\n    import numpy"),
        ("import os\ndel os.environ['A']\nimport numpy",),
        ("%env A=1", "import numpy"),
        ("%set_env A 1\nimport numpy",),
        ("from dotenv import load_dotenv\nload_dotenv()", "import numpy"),
        ("import os; os.putenv('A', '1'); import numpy",),
    ],
)
def test_it_sets_variables_first(cells: tuple[str, ...]) -> None:
    assert sets_variables_first(notebook(*cells))


@pytest.mark.parametrize(
    "cells",
    [
        ("import numpy", "import os\nos.environ['A'] = '1'"),
        ("import numpy, os\nos.environ['A'] = '1'", "import json"),
        ("import os\nprint(os.environ['A'], os.environ.get('B'))", "import numpy"),
        ("%env A", "import numpy"),
        ("%env", "import numpy"),
        ("x = {}\nx['A'] = 1\nx.update(a=1)", "import numpy"),
        ("this is no code", "import numpy"),
        (code("# nothing"),),
    ],
)
def test_it_does_not(cells: tuple[str, ...]) -> None:
    assert not sets_variables_first(notebook(*cells))
