"""What Output widgets capture, as a front end would do it: kept within bounds, and sent back to the kernel.

All that a widget has captured goes back each time, and a kernel that runs a cell takes nothing: so it is not sent with
each output, but now and then, and at the end of each cell. Must not know the journal or what becomes of a cell.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from nbclient.output_widget import OutputWidget
from nbformat.v4 import output_from_msg

CAPTURED = 500_000
"""Characters that an Output widget captures at most."""
MOST = 1_000
"""Outputs that an Output widget captures at most; texts that follow one another are one."""
IN_ALL = 5_000_000
"""Characters that all Output widgets of a notebook capture."""
_SYNC_AFTER = 0.5
"""Seconds after which the kernel gets what was captured; each time twice as long, until the cell ends."""


class Capturing(OutputWidget):
    """An Output widget. `executor`, nbclient's name for the client, has to have `captures`."""

    def take(self, msg: dict[str, Any]) -> None:
        """Take the output that a message brings."""
        if self.clear_before_next_output:
            self.outputs = []
            self.clear_before_next_output = False
        self.parent_header = msg["parent_header"]
        output = output_from_msg(msg)  # type: ignore[no-untyped-call]
        if output["output_type"] == "stream" and self.takes_more(output["name"]):
            self.outputs[-1]["text"] += output["text"]
        else:
            self.outputs.append(output)
        self.sync_state()

    def let_go(self, msg: dict[str, Any]) -> None:
        """Let go what was captured, at once or when the next output comes."""
        self.parent_header = msg["parent_header"]
        if msg["content"].get("wait"):
            self.clear_before_next_output = True
        else:
            self.outputs = []
            self.sync_state()

    def sync_state(self) -> None:
        """Have the kernel told, but not now."""
        self.executor.captures.sync_later(self)

    def send_state(self) -> None:
        """Tell the kernel all that was captured."""
        super().sync_state()

    def takes_more(self, stream: str) -> bool:
        """Whether a text of a stream goes on what was captured last."""
        last = self.outputs[-1] if self.outputs else {}
        return last.get("output_type") == "stream" and last["name"] == stream


class Captures:
    """The Output widgets of one attempt. Belongs to the running event loop."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._spent = 0
        self._unsent: dict[str, Capturing] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._delay = _SYNC_AFTER

    def has_room(self, widget: Capturing, kind: str, content: Mapping[str, Any]) -> bool:
        """True where a widget may take an output, which then counts: what is too much for it is the cell's own."""
        is_more = kind == "stream" and widget.takes_more(content["name"])
        if not (is_more or widget.clear_before_next_output or len(widget.outputs) < MOST):
            return False
        size = len(json.dumps(content, default=str))
        taken = self._sizes.get(widget.comm_id, 0)
        if taken + size > CAPTURED or self._spent + size > IN_ALL:
            return False
        self._sizes[widget.comm_id] = taken + size
        self._spent += size
        return True

    def clear(self, widget: Capturing) -> None:
        """What a widget has captured goes."""
        self._spent -= self._sizes.pop(widget.comm_id, 0)

    def sync_later(self, widget: Capturing) -> None:
        """Have the kernel told of what a widget has captured."""
        self._unsent[widget.comm_id] = widget
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._sync)

    def sync(self) -> None:
        """Tell the kernel now: the cell has ended, or the next is to begin."""
        self.close()
        self._delay = _SYNC_AFTER
        self._send()

    def close(self) -> None:
        """Stop telling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sync(self) -> None:
        self._timer = None
        self._delay *= 2
        self._send()

    def _send(self) -> None:
        widgets = list(self._unsent.values())
        self._unsent.clear()
        for widget in widgets:
            widget.send_state()
