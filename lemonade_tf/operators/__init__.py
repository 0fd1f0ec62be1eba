"""The paper's six operators (section 3): three exact, three approximate.

For search space II, each of them is also available in all cells of a network at once (`InCells`).
`replay` makes a child from its parent and the records of the operators that made it. It knows a
custom operator once `find_operators` has found it in its module, which a search, its workers and
whatever rebuilds its networks do by the names in config.json.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.custom_modules import find_named
from lemonade_tf.operators.base import Operator, OperatorError, SiteError
from lemonade_tf.operators.change import Change, FitOutputs, MeasureStatistics
from lemonade_tf.operators.deepen import InsertConvolution
from lemonade_tf.operators.in_cells import InCells
from lemonade_tf.operators.prune import PruneFilters
from lemonade_tf.operators.remove import Remove
from lemonade_tf.operators.separate import SeparateConvolution
from lemonade_tf.operators.skip import AddSkip
from lemonade_tf.operators.widen import WidenConvolution

EXACT: tuple[Operator, ...] = (InsertConvolution(), WidenConvolution(), AddSkip())
APPROXIMATE: tuple[Operator, ...] = (Remove(), PruneFilters(), SeparateConvolution())
EXACT_IN_CELLS: tuple[Operator, ...] = tuple(map(InCells, EXACT))
APPROXIMATE_IN_CELLS: tuple[Operator, ...] = tuple(map(InCells, APPROXIMATE))
OPERATORS = (*EXACT, *APPROXIMATE, *EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)
_found: dict[str, Operator] = {}  # custom operators, by the name in a history

__all__ = [
    "APPROXIMATE",
    "APPROXIMATE_IN_CELLS",
    "EXACT",
    "EXACT_IN_CELLS",
    "OPERATORS",
    "AddSkip",
    "Change",
    "FitOutputs",
    "InCells",
    "InsertConvolution",
    "MeasureStatistics",
    "Operator",
    "OperatorError",
    "PruneFilters",
    "Remove",
    "SeparateConvolution",
    "SiteError",
    "WidenConvolution",
    "find_operators",
    "known_operators",
    "record",
    "replay",
]


def known_operators() -> tuple[Operator, ...]:
    """Return the built-in operators, and the custom ones that were found in this process."""
    return (*OPERATORS, *_found.values())


def find_operators(names: Iterable[str]) -> tuple[Operator, ...]:
    """Return operators by name.

    Args:
        names: The names of operators of search space I, or "MODULE:NAME" for a custom `Operator` in
            a module.

    Raises:
        OperatorError: If there is no such operator, or two have the same name.
    """
    names = tuple(names)
    operators = tuple(map(_find_operator, names))
    if len({operator.name for operator in operators}) < len(operators):
        raise OperatorError(
            f"operators {','.join(names)}: duplicate name; expected each only once."
        )
    return operators


def _find_operator(name: str) -> Operator:
    builtin = {operator.name: operator for operator in (*EXACT, *APPROXIMATE)}
    found = find_named(name, builtin, Operator, "operator", OperatorError)
    if name in builtin:
        return found
    for other in known_operators():
        if other.name == found.name and other is not found:
            raise OperatorError(
                f"operator {name!r} has the name {found.name!r} of another operator; expected"
                " another name."
            )
    _found[found.name] = found
    return found


def record(operator: Operator, site: Any) -> dict[str, Any]:
    """Return the record of an operator at a site, as plain values for the history of a run.

    Fields of the site that have their default are left out.
    """
    values = {f.name: getattr(site, f.name) for f in fields(site)}
    defaults = {f.name: f.default for f in fields(site)}
    chosen = {name: value for name, value in values.items() if value != defaults[name]}
    return {"operator": operator.name, "site": chosen}


def replay(
    graph: Graph,
    records: Iterable[Mapping[str, Any]],
    *,
    rng: np.random.Generator,
    operators: Iterable[Operator] | None = None,
) -> Change:
    """Apply recorded operators in sequence, and return the result as one change.

    Args:
        graph: The parent, weighted or made of shapes.
        records: The records, as `record` returns them.
        rng: Draws the values of new weights.
        operators: The known operators; by default, the built-in ones and the custom ones that
            `find_operators` found.

    Raises:
        SiteError: If a record names an unknown operator, or a site where it does not apply.
    """
    if operators is None:
        operators = known_operators()
    by_name = {operator.name: operator for operator in operators}
    change = Change(graph, affected=())
    for entry in records:
        operator = by_name.get(entry["operator"])
        if operator is None:
            raise SiteError(
                f"operator {entry['operator']!r} is unknown; expected one of {', '.join(by_name)}."
            )
        site = operator.site(**entry["site"])
        change = change.followed_by(operator.apply(change.graph, site, rng=rng))
    return change
