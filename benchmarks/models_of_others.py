"""Convert models of others to graphs and back: how many are accepted, and come back as they were.

    python benchmarks/models_of_others.py [--quick] [--family NAME]

The models: all of `keras.applications`, small inputs, random weights; functional models of other
libraries, if they are installed (KerasHub's backbones, keras_cv_attention_models); and 40 toy
models with one kind of layer each. For each family:

- accepted: the share that `from_keras` converts.
- same bits: the share of those that compute the same bits after a round trip without edits.
- same configuration: the share whose layers all have the same `get_config()` afterwards.
- can be pruned: the share of the convolutions whose filters `PruneFilters` can remove.
- largest change: of the output, relative, by an exact operator at a random site.

The last line is the share of all models that come back as they were; target: 1.
"""

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Conv2D, SeparableConv2D
from lemonade_tf.architecture.opaque import Opaque
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.operators import EXACT, PruneFilters

layers, ops = keras.layers, keras.ops
SIDES = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75, "NASNetLarge": 64}

# Layers and operations on images of 8x8x4, between two convolutions.
TOYS = {
    "Conv2D": lambda x: layers.Conv2D(6, 3)(x),
    "grouped Conv2D": lambda x: layers.Conv2D(6, 3, groups=2)(x),
    "dilated Conv2D": lambda x: layers.Conv2D(6, 3, dilation_rate=2)(x),
    "Conv2DTranspose": lambda x: layers.Conv2DTranspose(6, 3, strides=2)(x),
    "DepthwiseConv2D": lambda x: layers.DepthwiseConv2D(3)(x),
    "SeparableConv2D": lambda x: layers.SeparableConv2D(6, 3)(x),
    "Dense": lambda x: layers.Dense(6, activation="relu")(x),
    "EinsumDense": lambda x: layers.EinsumDense("abcd,de->abce", (None, 8, 6))(x),
    "BatchNormalization": lambda x: layers.BatchNormalization()(x),
    "LayerNormalization": lambda x: layers.LayerNormalization()(x),
    "GroupNormalization": lambda x: layers.GroupNormalization(2)(x),
    "UnitNormalization": lambda x: layers.UnitNormalization()(x),
    "SpectralNormalization": lambda x: layers.SpectralNormalization(layers.Conv2D(6, 3))(x),
    "ReLU": lambda x: layers.ReLU()(x),
    "LeakyReLU": lambda x: layers.LeakyReLU()(x),
    "PReLU": lambda x: layers.PReLU(shared_axes=(1, 2))(x),
    "ELU": lambda x: layers.ELU()(x),
    "Softmax": lambda x: layers.Softmax()(x),
    "MaxPooling2D": lambda x: layers.MaxPooling2D(2)(x),
    "AveragePooling2D": lambda x: layers.AveragePooling2D(2)(x),
    "GlobalAveragePooling2D": lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x),
    "GlobalMaxPooling2D": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    "UpSampling2D": lambda x: layers.UpSampling2D()(x),
    "ZeroPadding2D": lambda x: layers.ZeroPadding2D()(x),
    "Cropping2D": lambda x: layers.Cropping2D()(x),
    "Resizing": lambda x: layers.Resizing(5, 5)(x),
    "Permute": lambda x: layers.Permute((2, 1, 3))(x),
    "Reshape": lambda x: layers.Reshape((4, 16, 4))(x),
    "Dropout": lambda x: layers.Dropout(0.5)(x),
    "SpatialDropout2D": lambda x: layers.SpatialDropout2D(0.5)(x),
    "GaussianNoise": lambda x: layers.GaussianNoise(0.5)(x),
    "RandomFlip": lambda x: layers.RandomFlip()(x),
    "Add": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x)]),
    "Maximum": lambda x: layers.Maximum()([x, layers.Conv2D(4, 1)(x)]),
    "Concatenate": lambda x: layers.Concatenate()([x, x]),
    "Lambda": lambda x: layers.Lambda(lambda y: y * 2)(x),
    "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 4)(x, x),
    "x / 127.5 - 1": lambda x: x / 127.5 - 1,
    "ops.mean": lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "ops.split": lambda x: ops.concatenate(ops.split(x, 2, axis=-1)[::-1], axis=-1),
}


def toys(quick):
    """Yield (name, model) for one kind of layer each."""
    for name, compute in list(TOYS.items())[:: 8 if quick else 1]:
        start = keras.Input((8, 8, 3))
        x = compute(layers.Conv2D(4, 3, padding="same", activation="relu")(start))
        yield (
            name,
            keras.Model(
                start, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x)))
            ),
        )


def applications(quick):
    """Yield (name, model) for every function of keras.applications that builds a model."""
    names = sorted(n for n, f in vars(keras.applications).items() if n[0].isupper() and callable(f))
    for name in ["MobileNetV2"] if quick else names:
        side = SIDES.get(name, 64)
        build = getattr(keras.applications, name)
        yield name, build(weights=None, input_shape=(side, side, 3), classifier_activation=None)


def keras_hub_backbones(quick):
    """Yield (name, model) for small image backbones of KerasHub, if it is installed."""
    from keras_hub import models as hub

    image = {"image_shape": (64, 64, 3)}
    stacks = {
        "input_conv_filters": [8],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [16, 32],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
    }
    yield "VGGBackbone", hub.VGGBackbone([1, 1], [8, 16], **image)
    yield "ResNetBackbone", hub.ResNetBackbone(block_type="basic_block", **stacks, **image)
    yield (
        "DenseNetBackbone",
        hub.DenseNetBackbone([2, 2], compression_ratio=0.5, growth_rate=8, **image),
    )
    yield (
        "CSPDarkNetBackbone",
        hub.CSPDarkNetBackbone([16, 32], [1, 1], "basic_block", **image),
    )


def attention_models(quick):
    """Yield (name, model) of keras_cv_attention_models, if it is installed."""
    import keras_cv_attention_models as kecam

    settings = {"pretrained": None, "input_shape": (64, 64, 3), "num_classes": 10}
    names = ("mobilenetv3.MobileNetV3Small075", "ghostnet.GhostNet_050", "resnest.ResNest50")
    for name in names:
        module, build = name.split(".")
        yield build, getattr(getattr(kecam, module), build)(**settings)


FAMILIES = {
    "keras.applications": applications,
    "KerasHub": keras_hub_backbones,
    "keras_cv_attention_models": attention_models,
    "toy models": toys,
}


def examine(model):
    """Return what happens to a model: a dictionary of the figures in the table."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):  # else the outputs hardly vary
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
    convolutions = [
        n for n, node in graph.items() if isinstance(node.layer, Conv2D | SeparableConv2D)
    ]
    operator = PruneFilters(fractions=("1/2",))
    sites = [operator.site(name, "1/2") for name in convolutions]
    pruned = sum(operator.refusal(graph, site) is None for site in sites)
    return {
        "bits": all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)),
        "configuration": configurations(model) == configurations(again),
        "convolutions": len(convolutions),
        "prunable": pruned,
        "opaque": sum(isinstance(node.layer, Opaque) for _, node in graph.items()),
        "change": largest_change(graph, expected, inputs, rng),
    }


def values(model, inputs):
    """Return the outputs of a model at inference as arrays."""
    given = inputs if len(inputs) > 1 else inputs[0]
    return [np.asarray(v) for v in keras.tree.flatten(model(given, training=False))]


def configurations(model, prefix=""):
    """Return the configuration of every layer, those of inner models included, by path."""
    found = {}
    for layer in model.layers:
        path = f"{prefix}/{layer.name}"
        if isinstance(layer, keras.Model) and hasattr(layer, "layers"):
            found |= configurations(layer, path)
        else:
            found[path] = str(layer.get_config())
    return found


def largest_change(graph: Graph, expected, inputs, rng):
    """Return the largest relative change of the outputs by one site of each exact operator."""
    largest = 0.0
    for operator in EXACT:
        sites = operator.candidates(graph)
        if sites:
            site = sites[int(rng.integers(len(sites)))]
            edited = values(to_keras(operator.apply(graph, site, rng=rng).graph), inputs)
            for one, other in zip(edited, expected, strict=True):
                change = np.abs(one - other).max() / max(np.abs(other).max(), 1e-9)
                largest = float(np.maximum(largest, change))  # not a number stays so
    return largest


def main():
    """Print the table."""
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few models of each family")
    parser.add_argument("--family", choices=FAMILIES, help="only this family")
    parser.add_argument("--verbose", action="store_true", help="a line for every model")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    total = as_before = 0
    print("| models | accepted | same bits | same configuration | can be pruned | largest change |")
    print("|---|---|---|---|---|---|")
    for family in [options.family] if options.family else FAMILIES:
        results = []
        try:
            for name, model in FAMILIES[family](options.quick):
                results.append(result := examine(model))
                as_it_was = result.get("bits") and result.get("configuration")
                if not as_it_was or options.verbose:
                    print(f"  {family} {name}: {result}", flush=True)
                total, as_before = total + 1, as_before + bool(as_it_was)
                del model
                keras.utils.clear_session(free_memory=True)
        except ImportError as error:
            print(f"| {family} | not installed: {error} | | | | |")
            continue
        done = [r for r in results if "refused" not in r]
        convolutions = sum(r["convolutions"] for r in done)
        print(
            f"| {family} | {len(done)} of {len(results)}"
            f" | {sum(r['bits'] for r in done)} of {len(done)}"
            f" | {sum(r['configuration'] for r in done)} of {len(done)}"
            f" | {sum(r['prunable'] for r in done)} of {convolutions}"
            f" | {max((r['change'] for r in done), default=0):.1e} |",
            flush=True,
        )
    print(f"ratio: {as_before / max(total, 1):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
