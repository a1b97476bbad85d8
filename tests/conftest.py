"""What holds for all tests: hypothesis judges results, not the speed of a busy machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("nbflow", deadline=None)
settings.load_profile("nbflow")
