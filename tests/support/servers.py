"""Worker servers that load nothing and fork workers which do what they are told, for tests of both sides."""

from __future__ import annotations

import sys

PROGRAM = """
import json, os, sys, threading, time
from nbflow.worker import load, server

load.MODULES = ()
load.pages = lambda: None

def work(addresses, reasons):
    for line in sys.stdin:
        exec(line)
    return 0

class Zygotes:
    def __init__(self):
        self.told = {}
    def prepare(self, kernel, modules, cwd, withheld):
        self.told[kernel] = json.dumps([modules, cwd, sorted(withheld)])
    def addresses(self):
        return {name: text for name, text in self.told.items() if not text.startswith("[null")}
    def reasons(self):
        return {name: text for name, text in self.told.items() if text.startswith("[null")}
    def close(self):
        if "ending" in self.told:
            open(json.loads(self.told["ending"])[1], "w").close()

made = server.Server(server.take_channel(), work, Zygotes())
"""
"""What a forked worker gets on stdin are lines of Python; `addresses` and `reasons` tell what zygotes there are."""


def program(first: str = "") -> list[str]:
    """The command of such a server; `first` is done before it serves, with the server as `made`."""
    return [sys.executable, "-c", f"{PROGRAM}\n{first}\nmade.run()"]
