"""The paper's six operators (section 3): three exact, three approximate.

For search space II, each of them is also available in all cells of a network at once (`InCells`).
`replay` makes a child from its parent and the records of the operators that made it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.operators.base import Operator, SiteError
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
    "PruneFilters",
    "Remove",
    "SeparateConvolution",
    "SiteError",
    "WidenConvolution",
    "record",
    "replay",
]


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
    operators: Iterable[Operator] = OPERATORS,
) -> Change:
    """Apply recorded operators in sequence, and return the result as one change.

    Args:
        graph: The parent, weighted or made of shapes.
        records: The records, as `record` returns them.
        rng: Draws the values of new weights.
        operators: The known operators.

    Raises:
        SiteError: If a record names an unknown operator, or a site where it does not apply.
    """
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
