"""What a run came to, for callers of the API: the run document with a few handles."""

from __future__ import annotations

from typing import Any

EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 5, "interrupted": 130}
"""Exit code of the command line by run state; a run that ran into its own time limit gives 5."""


class RunResult(dict[str, Any]):
    """The run document (`nbflow.run/1`), a plain dict, with names for what is asked most."""

    @property
    def run(self) -> str:
        """The run's id."""
        return str(self["run"])

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self["state"])

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.state == "succeeded"

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        if self.state == "failed" and self.get("stopped") == "timeout":
            return 5
        return EXIT_CODES.get(self.state, 1)

    def task(self, name: str) -> dict[str, Any]:
        """The document of one task, by its copy name. Raises KeyError."""
        for document in self["tasks"]:
            if document["task"] == name:
                found: dict[str, Any] = document
                return found
        raise KeyError(name)
