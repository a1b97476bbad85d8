"""`python -m nbflow` is the command `nbflow`."""

from __future__ import annotations

from nbflow.cli.entry import main

if __name__ == "__main__":
    main()
