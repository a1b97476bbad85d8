"""The version, apart from the package's root so that any module may ask for it."""

from __future__ import annotations

__version__ = "0.1.0"
