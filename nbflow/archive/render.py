"""Templates of pages: one environment in which every value is escaped. Must not know what pages say."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.archive import palette
from nbflow.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'"
)
"""What a page may do: show what is in it. No script runs, nothing is fetched, whatever got past our escaping."""


def render(template: str, **values: Any) -> str:
    """A page of a template; text that UTF-8 cannot hold is replaced, so that it can always be written."""
    page = _environment().get_template(template).render(values)
    return page.encode("utf-8", "replace").decode("utf-8")


def compile_templates() -> None:
    """Have all templates ready. They are compiled when they are first used, which takes longer than a page."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


def safe(markup: str) -> Markup:
    """Markup of our own making: every text in it is escaped already."""
    from markupsafe import Markup

    return Markup(markup)  # noqa: S704


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        policy=POLICY,
        generator=f"nbflow {__version__}",
        colours=safe(palette.variables() + palette.GLYPH_CSS),
        word=palette.word,
        tone=palette.tone,
        shape=lambda state: safe(palette.glyph(state)),
    )
    return environment
