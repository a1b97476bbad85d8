"""Parameters of notebooks in languages that nbflow does not read, as papermill's translators find them.

Few translators look for parameters at all; those that do, do it by patterns, so what they find is shown to people and
never counts as all that there is. papermill takes half a second to import, so this is for those who ask, not for runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nbflow.core.assignments import LANGUAGES
from nbflow.core.cells import code_cells
from nbflow.core.contract import Contract
from nbflow.core.declarations import Declared
from nbflow.core.spec import ParamType

_TYPES: Mapping[str, ParamType] = MappingProxyType(
    {kind.value: kind for kind in (ParamType.STR, ParamType.INT, ParamType.FLOAT, ParamType.BOOL)}
    | {kind.value: kind for kind in (ParamType.LIST, ParamType.DICT)}
)


def inspect(document: Mapping[str, Any], contract: Contract) -> list[Declared]:
    """What papermill finds in the parameters cell; nothing where it cannot, or where the contract says it all."""
    cell = next((cell for cell in code_cells(document) if cell.is_parameters), None)
    if cell is None or contract.language in {"python", *LANGUAGES}:
        return []
    from papermill.exceptions import PapermillException
    from papermill.translators import papermill_translators

    try:
        translator = papermill_translators.find_translator(_kernel(document), contract.language)
        found = translator.inspect({"source": cell.source})
    except (NotImplementedError, PapermillException):
        return []
    return [_declared(one, cell.index) for one in found]


def _kernel(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, Mapping) else None
    return str(spec.get("name")) if isinstance(spec, Mapping) else ""


def _declared(found: Any, cell: int) -> Declared:
    kind = _TYPES.get(str(found.inferred_type_name), ParamType.ANY)
    return Declared(name=found.name, type=kind, description=found.help or None, cell=cell, line=1)
