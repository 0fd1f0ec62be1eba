"""The networks that section 5.2 compares on ImageNet64x64: cells of a run, and the baselines.

Cells are built with several numbers n of cells per block and F of filters, and the baselines in
several sizes (A.4.3). All of them are shapes only, by an id that is their name in files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import Cell, cell_network, extract_cell
from lemonade_tf.architecture.layers import Rescaling, Shape
from lemonade_tf.baselines.mobilenets import mobilenet_v1, mobilenet_v2
from lemonade_tf.baselines.nasnets import nasnet
from lemonade_tf.baselines.wide_resnets import wide_resnet
from lemonade_tf.config import ConfigError
from lemonade_tf.errors import quoted
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.operators.initial import NORMALIZATION
from lemonade_tf.runs import Run
from lemonade_tf.search_spaces import CELLS

BASELINES = MOBILENETS, NASNETS, WRNS = "mobilenet_v2", "nasnet", "wrn"  # start their ids
_SIZES: Mapping[str, Sequence[str]] = {
    MOBILENETS: [f"{MOBILENETS}-{tenths / 10}" for tenths in range(1, 13)],
    NASNETS: [f"{NASNETS}-n{n}-F{f}" for n in (2, 4, 6, 8) for f in (96, 192, 384, 768, 1536)],
    WRNS: [f"{WRNS}-36-{width}" for width in (1, 2, 3, 5)],
}
_PARAMETERS = "parameters"


def find_cells(
    run: Run, numbers: Sequence[int] | None = None, num_cells: int = 5
) -> dict[int, Cell]:
    """Return cells of a run's front by number; Cell 0 is that of the largest network, as in A.6.

    Args:
        run: A run in the space of cells.
        numbers: The numbers of the cells. By default, `num_cells` that are spread over all sizes,
            the largest and the smallest among them.
        num_cells: How many cells, if no numbers are given; fewer if the front has fewer.

    Raises:
        ConfigError: If the run is in another space or has no front, or there is no such cell.
        FileError: If the file of a network cannot be read.
    """
    if run.config.space != CELLS.name:
        raise ConfigError(
            f"{run.store.path} is a run in the space {run.config.space!r}; expected one of `search"
            " --space cells`."
        )
    front = run.front()
    if not front:
        raise ConfigError(f"{run.store.path} has no front: no network has been trained yet.")
    size = next((o.name for o in run.objectives if o.name == _PARAMETERS), run.others[0].name)
    front.sort(key=lambda record: record.objectives[size], reverse=True)
    if numbers is None:
        numbers = spread(len(front), num_cells)
    unknown = [number for number in numbers if not 0 <= number < len(front)]
    if unknown:
        raise ConfigError(
            f"{run.store.path} has no Cell {unknown[0]}; expected 0, the largest, to"
            f" {len(front) - 1}."
        )
    files = {number: run.store.models.path(front[number].id) for number in numbers}
    return {number: extract_cell(load_graph(path))[0] for number, path in files.items()}


def spread(total: int, num: int) -> list[int]:
    """Return up to `num` of the numbers from 0 to total - 1, at equal distances."""
    return sorted({int(number) for number in np.linspace(0, total - 1, num).round()})


def cell_networks(
    cells: dict[int, Cell],
    input_shape: Shape,
    num_classes: int,
    *,
    rescaling: Rescaling,
    cells_per_block: Iterable[int] = (2, 4, 6, 8),
    filters: Sequence[int] = (64, 128, 256, 512),
) -> dict[str, Graph]:
    """Return the networks of cells; by default with the paper's n and F (A.4.3).

    Args:
        cells: The cells by number.
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        rescaling: The rescaling of raw pixels, 0 to 255.
        cells_per_block: The values of n.
        filters: The values of F.

    Raises:
        CellError: If n or F is invalid for a cell.
    """
    return {
        f"cell{number}-n{n}-F{f}": cell_network(
            cell,
            cells_per_block=n,
            filters=f,
            input_shape=input_shape,
            num_classes=num_classes,
            rescaling=rescaling,
            normalization=NORMALIZATION,
        )
        for number, cell in cells.items()
        for n in cells_per_block
        for f in filters
    }


def baseline_networks(
    input_shape: Shape,
    num_classes: int,
    *,
    rescaling: Rescaling,
    names: Iterable[str] = BASELINES,
) -> dict[str, Graph]:
    """Return MobileNets V2, NASNets and wide residual networks of several sizes.

    A kind stands for all of its sizes: `mobilenet_v2` and `nasnet` for those of the paper (A.4.3),
    `wrn` for those of Chrabaszcz et al. (2017) at 64 x 64 pixels, since the paper does not state
    them: WRN-36-k, with a fourth group. An id stands for one network of any size:
    `mobilenet_v1-ALPHA`, `mobilenet_v2-ALPHA`, `nasnet-nN-FF`, `wrn-DEPTH-WIDTH`; a WRN has four
    groups for images of at least 64 x 64 pixels, else three.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        rescaling: The rescaling of raw pixels, 0 to 255.
        names: Kinds and ids.

    Returns:
        The networks by id, made of shapes.

    Raises:
        ConfigError: If a name is neither a kind nor an id, or there is no network of this size.
    """
    task = {"input_shape": input_shape, "num_classes": num_classes, "rescaling": rescaling}
    ids = [id_ for name in names for id_ in _SIZES.get(name, (name,))]
    return {id_: _baseline(id_, task).copy(weights=False) for id_ in ids}


def _baseline(id_: str, task: dict[str, Any]) -> Graph:
    """Return the network of an id."""
    groups = 4 if min(task["input_shape"][:2]) >= 64 else 3
    try:
        if found := re.fullmatch(r"mobilenet_v([12])-(\d{1,2}\.?\d{0,3})", id_):
            mobilenet = mobilenet_v1 if found[1] == "1" else mobilenet_v2
            return mobilenet(**task, alpha=float(found[2]))
        if found := re.fullmatch(r"nasnet-n(\d{1,3})-F(\d{1,5})", id_):
            return nasnet(**task, cells_per_block=int(found[1]), filters=int(found[2]))
        if found := re.fullmatch(r"wrn-(\d{1,4})-(\d{1,3})", id_):
            depth, width = int(found[1]), int(found[2])
            return wide_resnet(**task, depth=depth, width=width, num_groups=groups)
    except ValueError as error:
        raise ConfigError(f"the baseline {quoted(id_)} cannot be built: {error}") from error
    raise ConfigError(
        f"the baseline {quoted(id_)} is unknown; expected {', '.join(BASELINES)} for all sizes of a"
        " kind, or one network, such as mobilenet_v2-0.3, nasnet-n2-F96, wrn-36-1."
    )
