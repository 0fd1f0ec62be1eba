"""The tables of inference times that a former run measured, for a search that begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lemonade_tf.architecture.layers import Shape
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.latency.table import LatencyTable, TableError
from lemonade_tf.store import RunStore, StoreError


def former_tables(config: SearchConfig, ways: Sequence[str], input_shape: Shape) -> dict[str, Any]:
    """Return the tables that `--latency_table` names, by way; nothing if it names none.

    Args:
        config: The settings.
        ways: Those of the objectives and limits of the search.
        input_shape: (height, width, channels) of its images.

    Raises:
        ConfigError: The former run has none, or one that does not hold for this search.
    """
    if config.latency_table is None or not ways:
        return {}
    try:
        tables = RunStore.open(config.latency_table).read_config().prepared
        missing = [way for way in ways if way not in tables]
        if missing:
            raise TableError(
                f"the run has no table of {', '.join(missing)}; expected one that was searched by"
                f" {','.join(ways)}."
            )
        for way in ways:
            LatencyTable.from_json(tables[way]).check_conditions(input_shape, config.threads)
    except (StoreError, TableError) as error:
        raise ConfigError(f"--latency_table {config.latency_table}: {error}") from error
    return {way: tables[way] for way in ways}
