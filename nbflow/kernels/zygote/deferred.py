"""What modules do while they are loaded that concerns each kernel by itself: exit handlers, numbers, variables.

It is noted while the zygote loads, and done in the kernel. Standard library only. Must not know kernels.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import random
import secrets
import sys
from collections.abc import Iterator
from typing import Any


class Deferred:
    """What modules have asked for while they were loaded, and what only a kernel must do.

    `variables` are names of environment variables that were looked for, found or not. That all were gone through
    says nothing of those that were not there. `seedings` is how often `random.seed` was called with a seed, which is
    lost at a fork: Python then seeds the common generator anew.
    """

    def __init__(self) -> None:
        self.variables: set[str] = set()
        self.seedings = 0
        self._generators: list[random.Random] = []
        self._numbers: set[int] = set()
        self._bits: list[Any] = []
        self._states: list[Any] = []
        self._exits: list[tuple[Any, Any, Any]] = []

    def register_exits(self) -> None:
        """Register the exit handlers of modules: after those of the kernel, hence before them at the end."""
        for function, args, kwargs in self._exits:
            atexit.register(function, *args, **kwargs)

    def reseed(self) -> None:
        """Kernels of one zygote must not draw the same numbers; the module `random` itself sees to that at a fork.

        What was given a seed keeps it.
        """
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed()
        for generator in self._generators:
            generator.seed()
        for state in self._states:  # they keep half of what they have drawn
            state.set_state({**state.get_state(legacy=False), "has_gauss": 0, "gauss": 0.0})
        for bits in self._bits:
            bits.__init__()  # in place, for the generators that draw from it

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note it meanwhile."""
        with self._noting_exits(), self._noting_seedings(), self._noting_generators(), self._noting_variables():
            yield

    @contextlib.contextmanager
    def _noting_exits(self) -> Iterator[None]:
        register = atexit.register

        def later(function: Any, *args: Any, **kwargs: Any) -> Any:
            self._exits.append((function, args, kwargs))
            return function

        atexit.register = later  # type: ignore[assignment]
        try:
            yield
        finally:
            atexit.register = register

    @contextlib.contextmanager
    def _noting_seedings(self) -> Iterator[None]:
        """Libraries that draw from the common generator change its state as well, and do no harm by that."""
        seed = random.seed

        def noted(a: Any = None, version: int = 2) -> None:
            seed(a, version)
            self.seedings += a is not None

        random.seed = noted
        try:
            yield
        finally:
            random.seed = seed

    @contextlib.contextmanager
    def _noting_generators(self) -> Iterator[None]:
        """Those of `random` by their seed, those of numpy by the number that they begin with, which numpy draws."""
        seed, draw, is_noting = random.Random.seed, secrets.randbits, True

        def noted(generator: random.Random, a: Any = None, version: int = 2) -> None:
            seed(generator, a, version)
            self._generators = [one for one in self._generators if one is not generator]
            if a is None:
                self._generators.append(generator)

        def drawn(count: int) -> int:
            number = draw(count)
            if is_noting:  # a module may keep this function
                self._numbers.add(number)
            return number

        _numpy_draws_by(drawn)
        random.Random.seed, secrets.randbits = noted, drawn  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            is_noting = False
            random.Random.seed, secrets.randbits = seed, draw  # type: ignore[method-assign]
            _numpy_draws_by(draw)
            self._find_numpys_generators()

    def _find_numpys_generators(self) -> None:
        """Those that are still there and whose first number is one of those that were drawn."""
        numpy: Any = sys.modules.get("numpy.random")
        if not hasattr(numpy, "BitGenerator"):  # before 1.17; then there is the common one only
            return
        for found in gc.get_objects():
            if issubclass(type(found), numpy.BitGenerator) and self._is_drawn(found):
                self._bits.append(found)
            elif issubclass(type(found), numpy.RandomState) and self._is_drawn(found._bit_generator):
                self._states.append(found)

    def _is_drawn(self, bits: Any) -> bool:
        first = getattr(getattr(bits, "_seed_seq", None), "entropy", None)
        return isinstance(first, int) and first in self._numbers

    @contextlib.contextmanager
    def _noting_variables(self) -> Iterator[None]:
        kind: Any = type(os.environ)
        look = kind.__getitem__

        def noted(environment: Any, key: Any) -> Any:
            if isinstance(key, (str, bytes)):
                self.variables.add(os.fsdecode(key))
            return look(environment, key)

        kind.__getitem__ = noted
        try:
            yield
        finally:
            kind.__getitem__ = look


def _numpy_draws_by(draw: Any) -> None:
    """Where numpy is loaded already, or has been loaded meanwhile, it has its own name for the function."""
    module = sys.modules.get("numpy.random.bit_generator")
    if hasattr(module, "randbits"):
        module.randbits = draw  # type: ignore[union-attr]
