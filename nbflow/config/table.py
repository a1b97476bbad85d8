"""A table with known keys: unknown ones are refused with the one that was meant, later ones as not supported yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from nbflow.config.shape import MISSING, Kind, Reading, Schema
from nbflow.core.faults import NOT_YET, KeyPath, did_you_mean, nearest

ALIASES: Mapping[str, str] = {
    alias: key
    for key, aliases in {
        "needs": "depends_on dependencies depends upstream upstreams after requires deps dependson",
        "notebook": "file path nb ipynb source input notebook_path input_path",
        "params": "parameters args arguments vars variables config",
        "schedule": "cron interval every",
        "secrets": "env environment",
        "retries": "retry max_retries attempts",
        "retry_delay": "delay retry_wait",
        "timeout": "execution_timeout time_limit timeout_seconds max_runtime",
        "kernel": "kernel_name kernelspec language",
        "run_if": "trigger_rule triggers",
        "when": "if condition only_if",
        "for_each": "foreach map expand",
        "max_parallel": "concurrency max_active_tasks parallelism parallel max_concurrency",
        "pool": "queue",
        "description": "desc doc docs title help",
        "tags": "tag labels label",
        "matrix": "strategy",
        "timezone": "tz time_zone",
        "outputs": "output output_dir archive",
        "state": "database db store",
        "options": "choices enum values allowed",
        "min": "minimum ge gte",
        "max": "maximum le lte",
        "default": "value",
        "pipelines": "pipeline workflows workflow dags",
        "nbflow": "project settings",
    }.items()
    for alias in aliases.split()
}
"""What people who know other tools write, and the key that it is here."""


class Key(NamedTuple):
    """One key: what it holds and what it is for. `later`: known, and not supported yet."""

    kind: Kind
    doc: str
    later: bool = False
    required: bool = False


class Table:
    """A table whose keys are known; read as a dict of those that are there and right.

    `example` shows what to write in place of something that is no table. `elsewhere` says where a key that is
    not known here belongs.
    """

    def __init__(
        self,
        keys: Mapping[str, Key],
        *,
        example: str | None = None,
        elsewhere: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.keys = keys
        self.example = example
        self.elsewhere = elsewhere

    def read(self, value: Any, at: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, dict):
            example = self.example.replace("...", value) if self.example and isinstance(value, str) else self.example
            return reading.wrong(at, "a table", value, example and f"write {example}")
        found: dict[str, Any] = {}
        meant: set[str | None] = set()
        for name, item in value.items():
            key = self.keys.get(name)
            if key is None:
                meant.add(self._meant(name))
                message = "does not belong here" if self.elsewhere(name) else "unknown key"
                reading.fault((*at, name), message, self._hint(name, item, at), on_key=True)
            elif key.later:
                if not reading.partial:
                    reading.fault((*at, name), f"{NOT_YET}{name}", on_key=True)
                    reading.unclear.add((*at, name))
            elif (got := key.kind.read(item, (*at, name), reading)) is not MISSING:
                found[name] = got
        for name, key in self.keys.items():
            if key.required and not reading.partial and name not in value and name not in meant:
                reading.fault((*at, name), f"`{name}` is missing", self.example, on_key=True)
        return found

    def schema(self) -> Schema:
        properties = {
            name: key.kind.schema() | {"description": key.doc + (" (Not supported yet.)" if key.later else "")}
            for name, key in self.keys.items()
        }
        required = [name for name, key in self.keys.items() if key.required]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            **({"required": required} if required else {}),
        }

    @cache  # noqa: B019 - tables live as long as the program
    def _meant(self, name: str) -> str | None:
        plain = name.lower().replace("-", "_")
        alias = ALIASES.get(plain)
        if alias in self.keys:
            return alias
        if self.elsewhere(name):
            return None
        return nearest(name, self.keys)

    def _hint(self, name: str, value: Any, at: KeyPath) -> str:
        if meant := self._meant(name):
            return f'did you mean "{meant}"?'
        if isinstance(value, dict) and "notebook" in value and "tasks" in self.keys:
            return f"tasks stand below `tasks`: [{'.'.join(at)}.tasks.{name}]"
        if place := self.elsewhere(name):
            return f"`{name}` belongs in {place}"
        return did_you_mean(name, self.keys, what="known keys")
