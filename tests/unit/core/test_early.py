"""What a notebook prepares for its libraries is seen; what it does later, or only reads, is not."""

from __future__ import annotations

import pytest

from nbflow.core.early import prepares_imports
from support.attempts import code, notebook


@pytest.mark.parametrize(
    "cells",
    [
        ("import os\nos.environ['A'] = '1'", "import numpy"),
        ("import os\nos.environ['A'] = '1'\nfrom numpy import array",),
        ("from os import environ", "environ.setdefault('A', '1')\nimport numpy"),
        ("from os import environ as env", "env['A'] = '1'\nimport numpy"),
        ("import os", "e = os.environ", "e['A'] = '1'", "import numpy"),
        ("import os", "if (e := os.environ):\n    e.update(A='1')", "import numpy"),
        ("import os\nos.environ |= {'A': '1'}", "import numpy"),
        ("from os import environ\nenviron |= {'A': '1'}", "import numpy"),
        ("import os\nos.environ = {}", "import numpy"),
        ("import os", "os.environ.update(A='1')", "x = 1", "def f():\n    import numpy"),
        ("import os\ndel os.environ['A']\nimport numpy",),
        ("%env A=1", "import numpy"),
        ("%set_env A 1\nimport numpy",),
        ("from dotenv import load_dotenv\nload_dotenv()", "import numpy"),
        ("import os; os.putenv('A', '1'); import numpy",),
        ("from os import putenv as put; put('A', '1'); import numpy",),
        ("import sys\nsys.path.insert(0, 'src')", "import mylib"),
        ("import sys\nsys.path = ['src', *sys.path]\nimport mylib",),
        ("import sys\nsys.path += ['src']\nimport mylib",),
        ("import sys\nsys.path[:0] = ['src']\nimport mylib",),
        ("import sys as s\ns.path.append('src')\nimport mylib",),
        ("from sys import path as p\np.append('src')\nimport mylib",),
        ("import sys\nsys.modules['json'] = None\nimport mylib",),
        ("import site; site.addsitedir('src')", "import mylib"),
        ("import os\nos.environ['A'] = '1'\nos.chdir('pipelines.toml')", "import mylib"),
        ("%cd src", "import mylib"),
        ("%cd", "import mylib"),
        ("cd src", "import mylib"),
        ("cd ..", "import mylib"),
        ("import os\nos.chdir('src')", "import mylib"),
        ("from os import chdir as go\ngo('src')", "import mylib"),
        ("from contextlib import chdir\nwith chdir('src'):\n    import mylib",),
        ("%run config.ipynb", "import numpy"),
        ("%run config.ipynb",),
        ("import numpy\n%run config.ipynb", "import pandas"),
        ("%run config.ipynb", "%run libraries.ipynb"),
        ("import runpy; runpy.run_path('config.py')", "import numpy"),
        ("exec(open('config.py').read())", "import numpy"),
        ("get_ipython().run_line_magic('env', 'A=1')", "import numpy"),
        ("%env A=1", "import importlib\nimportlib.import_module('numpy')"),
        ("%env MPLBACKEND=agg", "%matplotlib inline"),
        ("%pip install -q mylib==2", "import mylib"),
        ("!{sys.executable} -m pip install mylib", "import mylib"),
        ("%%writefile mylib.py\nvalue = 1", "import mylib"),
        ("%%time\nimport os\nos.environ['A'] = '1'", "import numpy"),
        ("import os\nfiles = !ls\nos.environ['A'] = '1'", "import numpy"),
        ("%env A=1", "files = !ls\nimport numpy"),
    ],
)
def test_it_prepares_imports(cells: tuple[str, ...]) -> None:
    assert prepares_imports(notebook(*cells))


@pytest.mark.parametrize(
    "cells",
    [
        ("import numpy", "import os\nos.environ['A'] = '1'"),
        ("import numpy, os\nos.environ['A'] = '1'", "import json"),
        ("import numpy\n%env A=1\n%cd src",),
        ("import numpy\n%run other.ipynb",),
        ("import numpy", "import sys\nsys.path.insert(0, 'src')"),
        ("import os\nprint(os.environ['A'], os.environ.get('B'), e := dict(os.environ))", "import numpy"),
        ("import sys, os\nprint(sys.path, os.path.join('a', 'b'), sys.path[0])", "import numpy"),
        ("path = []\npath.append(1)\nmodules = {}\nmodules['a'] = 1", "import numpy"),
        ("import os\nos.chdir(next(p for p in here.parents if (p / 'pipelines.toml').exists()))", "import numpy"),
        ("%env A", "import numpy"),
        ("%env A\nimport numpy",),
        ("%env", "import numpy"),
        ("cd = 1", "import numpy"),
        ("%matplotlib inline", "import numpy"),
        ("%%bash\ncd src\nexport A=environ", "import numpy"),
        ("\n  %%bash\ncd src\nexport A=environ", "import numpy"),
        ("%%writefile notes.txt\nos.environ", "import numpy"),
        ("!ls", "import numpy"),
        ("x = {}\nx['A'] = 1\nx.update(a=1)", "import numpy"),
        ("this is no code", "import numpy"),
        (code("# nothing"),),
    ],
)
def test_it_does_not(cells: tuple[str, ...]) -> None:
    assert not prepares_imports(notebook(*cells))
