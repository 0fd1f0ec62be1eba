"""Convert models of others to graphs and back: how many are accepted, and come back as they were.

    python benchmarks/models_of_others.py [--quick] [--family NAME] [--output FOLDER] [--verbose]

The models (`families.py`): 58 toy models with one kind of layer each; all of `keras.applications`;
of other libraries, if they are installed, the smallest model of each architecture of KIMM, small
image models of KerasHub, and segmodels-keras (`pip install kimm keras-hub segmodels-keras`). The
inputs are small and the weights random. For each family:

- accepted: the share that `from_keras` converts.
- same bits: the share of those that compute the same bits after a round trip without edits.
- attributes: how many entries of `get_config()` of all their layers are as before.
- as before: the share of which every layer has the same configuration, data types and frozen
  weights.
- can be pruned: the share of Conv2D, SeparableConv2D and Conv2DTranspose layers, also those inside
  of other layers, that can lose half of their filters.
- largest change: of the outputs, relative, by one site of each exact operator; how many edits.
- opaque: the share of layers that are carried without being understood.

Results are kept in FOLDER/models.jsonl, by default in a new temporary folder; rerun the command
with the same folder to continue. The last line is the share of all models that come back as they
were, bit for bit; target: 1.
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from families import FAMILIES
from script import Parser, run_benchmark

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.opaque import Opaque
from lemonade_tf.architecture.windows import (
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    SeparableConv2D,
)
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.operators import EXACT, PruneFilters
from lemonade_tf.operators.filters import filters_owner

KERAS_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
)


def examine(model):
    """Return what happens to a model: a dictionary of the figures in the table."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):  # else the outputs hardly vary
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
            for weight in (layer.moving_mean, *([layer.beta] if layer.center else [])):
                weight.assign(rng.normal(0, 0.5, weight.shape))
    inputs = [rng.uniform(0, 255, (2, *t.shape[1:])).astype("float32") for t in model.inputs]
    try:
        graph = from_keras(model)
    except Exception as error:  # every failure of a model of others is a result
        return {"refused": f"{type(error).__name__}: {str(error)[:200]}"}
    again = to_keras(graph)
    expected = values(model, inputs)
    found = values(again, inputs)
    before, after = configurations(model), configurations(again)
    change, edits = largest_change(graph, expected, inputs, rng)
    operator = PruneFilters(fractions=("1/2",))
    sites = [
        operator.site(filters_owner(graph, name), "1/2")
        for name, node in graph.items()
        if isinstance(node.layer, Conv2D | SeparableConv2D | Conv2DTranspose)
        or is_grouped(graph, model, name)
    ]
    nodes = [node.layer for _, node in graph.items()]
    return {
        "bits": all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)),
        "attributes": len(before),
        "kept": sum(key in after and after[key] == value for key, value in before.items()),
        "configuration": before == after,
        "convolutions": sum(isinstance(n, KERAS_CONVOLUTIONS) for n in model._flatten_layers()),
        "prunable": sum(operator.refusal(graph, site) is None for site in sites),
        "layers": len(nodes),
        "opaque": sum(isinstance(layer, Opaque) for layer in nodes),
        "change": change,
        "edits": edits,
    }


def is_grouped(graph, model, name):
    """Return whether a depthwise convolution is a grouped Conv2D in Keras."""
    if not isinstance(graph[name].layer, DepthwiseConv2D):
        return False
    layers = [layer for layer in model._flatten_layers() if layer.name == name]
    return any(isinstance(layer, keras.layers.Conv2D) for layer in layers)


def values(model, inputs):
    """Return the outputs of a model at inference as arrays."""
    given = inputs if len(inputs) > 1 else inputs[0]
    return [np.asarray(v) for v in keras.tree.flatten(model(given, training=False))]


def configurations(model, prefix=""):
    """Return every entry of `get_config()` of every layer, by path, and what it does not say."""
    found = {}
    for layer in model.layers:
        path = f"{prefix}/{layer.name}"
        if isinstance(layer, keras.Model) and hasattr(layer, "layers"):
            found |= configurations(layer, path)
            continue
        for key, value in configuration(layer).items():
            found[path, key] = str(value)
        found[path, "trainable weights"] = [weight.trainable for weight in layer.weights]
        found[path, "policy"] = str(layer.dtype_policy)
    return found


def configuration(layer):
    try:
        return layer.get_config()
    except Exception:  # the code of foreign classes may raise anything
        return keras.layers.Layer.get_config(layer)


def largest_change(graph: Graph, expected, inputs, rng):
    """Return the largest relative change of the outputs by one site of each exact operator.

    Returns:
        The change, and the number of operators that have a site.
    """
    largest, edits = 0.0, 0
    for operator in EXACT:
        sites = operator.candidates(graph)
        if sites:
            site, edits = sites[int(rng.integers(len(sites)))], edits + 1
            edited = values(to_keras(operator.apply(graph, site, rng=rng).graph), inputs)
            for one, other in zip(edited, expected, strict=True):
                change = np.abs(one - other).max() / max(np.abs(other).max(), 1e-9)
                largest = float(np.maximum(largest, change))  # not a number stays so
    return largest, edits


def outcome(build):
    """Return the figures of the model that a function builds, or why there are none."""
    try:
        return examine(build())
    except Exception as error:  # a crash is a result, too
        return {"crashed": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        keras.utils.clear_session(free_memory=True)


def row(family, results):
    """Return the line of a family in the table."""
    done = [r for r in results if "bits" in r]
    total = {
        key: sum(r[key] for r in done)
        for key in ("attributes", "kept", "convolutions", "prunable", "layers", "opaque", "edits")
    }
    return (
        f"| {family} | {len(done)} of {len(results)}"
        f" | {sum(r['bits'] for r in done)} of {len(done)}"
        f" | {total['kept']:,} of {total['attributes']:,}"
        f" | {sum(r['configuration'] for r in done)} of {len(done)}"
        f" | {total['prunable']:,} of {total['convolutions']:,}"
        f" | {max((r['change'] for r in done), default=0):.1e} ({total['edits']:,})"
        f" | {total['opaque']:,} of {total['layers']:,} |"
    )


def main():
    """Print the table."""
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few models of each family")
    parser.add_argument("--family", choices=FAMILIES, help="only this family")
    parser.add_argument("--output", type=Path, help="a folder for the results")
    parser.add_argument("--verbose", action="store_true", help="a line for every model")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    output = options.output or Path(tempfile.mkdtemp(prefix="models-"))
    output.mkdir(parents=True, exist_ok=True)
    file = output / "models.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {(line["family"], line["model"]): line for line in lines}
    table, every = [], []
    for family in [options.family] if options.family else FAMILIES:
        results = []
        try:
            models = list(FAMILIES[family]())
        except ImportError as error:
            table.append(f"| {family} | not installed: {error} | | | | | | |")
            continue
        for name, build in models[:: 40 if options.quick else 1]:
            if (family, name) not in known:
                result = {"family": family, "model": name, **outcome(build)}
                known[family, name] = result
                with file.open("a") as stream:
                    stream.write(json.dumps(result) + "\n")
            results.append(result := known[family, name])
            as_before = result.get("bits") and result.get("configuration")
            if not as_before or options.verbose:
                print(f"  {result}", flush=True)
            every.append(bool(as_before))
        table.append(row(family, results))
    print("| models | accepted | same bits | attributes | as before | can be pruned |", end="")
    print(" largest change | opaque |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(table))
    print(f"ratio: {sum(every) / max(len(every), 1):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
