"""Every operator on random graphs of all kinds of layers."""

import numpy as np
import pytest
from graphs import APPROXIMATE, EXACT, images, new_weights
from reference import relative_difference

from lemonade_tf.architecture import LAYERS, Graph, ShapeError, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.operators import WidenConvolution

NUM_LAYERS = 16
SITES = 3  # per operator
TOLERANCE = 1e-9  # of logits in float64, relative to the largest


def _convolution(rng):
    groups = int(rng.choice([1, 1, 2, 3]))
    strides = int(rng.choice([1, 1, 2]))
    dilation = int(rng.choice([1, 1, 2])) if strides == 1 else 1
    return L.Conv2D(
        groups * int(rng.integers(1, 4)),
        int(rng.choice([1, 2, 3])),
        strides=strides,
        padding=str(rng.choice(["same", "valid"])),
        use_bias=bool(rng.integers(2)),
        groups=groups,
        dilation_rate=dilation,
    )


MAKERS = {
    L.Rescaling: lambda rng, c: L.Rescaling(rng.uniform(-1, 2), rng.choice([0.0, 0.3])),
    L.Normalization: lambda rng, c: L.Normalization(),
    L.Conv2D: lambda rng, c: _convolution(rng),
    L.Conv2DTranspose: lambda rng, c: L.Conv2DTranspose(
        int(rng.integers(1, 4)),
        int(rng.choice([2, 3])),
        strides=int(rng.choice([1, 2])),
        padding=str(rng.choice(["same", "valid"])),
        use_bias=bool(rng.integers(2)),
    ),
    L.DepthwiseConv2D: lambda rng, c: L.DepthwiseConv2D(
        3, depth_multiplier=int(rng.choice([1, 1, 2]))
    ),
    L.SeparableConv2D: lambda rng, c: L.SeparableConv2D(
        4, 3, depth_multiplier=int(rng.choice([1, 2]))
    ),
    L.BatchNormalization: lambda rng, c: L.BatchNormalization(),
    L.LayerNormalization: lambda rng, c: L.LayerNormalization(),
    L.GroupNormalization: lambda rng, c: L.GroupNormalization(int(rng.choice([1, 2, -1]))),
    L.LayerScale: lambda rng, c: L.LayerScale(0.1, c),
    L.ReLU: lambda rng, c: L.ReLU(
        None if rng.integers(2) else 6.0,
        float(rng.choice([0, 0, 0.1])),
        float(rng.choice([0, 1.3])),
    ),
    L.LeakyReLU: lambda rng, c: L.LeakyReLU(),
    L.PReLU: lambda rng, c: L.PReLU([None, (1,), (1, 2)][rng.integers(3)]),
    L.ELU: lambda rng, c: L.ELU(0.5),
    L.Activation: lambda rng, c: L.Activation(str(rng.choice(["silu", "sigmoid", "gelu"]))),
    L.MaxPooling2D: lambda rng, c: L.MaxPooling2D(2, int(rng.choice([1, 2]))),
    L.AveragePooling2D: lambda rng, c: L.AveragePooling2D(2, int(rng.choice([1, 2])), "same"),
    L.GlobalAveragePooling2D: lambda rng, c: L.GlobalAveragePooling2D(bool(rng.integers(2))),
    L.GlobalMaxPooling2D: lambda rng, c: L.GlobalMaxPooling2D(bool(rng.integers(2))),
    L.UpSampling2D: lambda rng, c: L.UpSampling2D(2, str(rng.choice(["nearest", "bilinear"]))),
    L.Resizing: lambda rng, c: L.Resizing(5, 7),
    L.Permute: lambda rng, c: L.Permute([(2, 1, 3), (3, 1, 2)][rng.integers(2)]),
    L.ChannelSlice: lambda rng, c: L.ChannelSlice(*sorted(rng.choice(c + 1, 2, False).tolist())),
    L.TrainingOnly: lambda rng, c: L.TrainingOnly("Identity"),
    L.ZeroPadding2D: lambda rng, c: L.ZeroPadding2D(1),
    L.Cropping2D: lambda rng, c: L.Cropping2D(((1, 0), (0, 1))),
    L.Reshape: lambda rng, c: L.Reshape(
        [(1, 1, c), (-1,), (-1, c), (1, -1, 2 * c), (-1, 2)][rng.integers(5)]
    ),
    L.Flatten: lambda rng, c: L.Flatten(),
    L.Dropout: lambda rng, c: L.Dropout(0.1),
    L.Dense: lambda rng, c: L.Dense(int(rng.choice([2, 4]))),
    L.Add: lambda rng, c: L.Add(),
    L.Subtract: lambda rng, c: L.Subtract(),
    L.Multiply: lambda rng, c: L.Multiply(),
    L.Average: lambda rng, c: L.Average(),
    L.Maximum: lambda rng, c: L.Maximum(),
    L.Minimum: lambda rng, c: L.Minimum(),
    L.ConvexSum: lambda rng, c: L.ConvexSum(),
    L.Concatenate: lambda rng, c: L.Concatenate(),
}


def random_graph(seed):
    """Return a graph of random layers; those without consumers lead to the logits."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    names = [graph.add("image", L.Input((6, 6, int(rng.choice([2, 3, 4])))))]
    shapes = {"image": graph["image"].layer.shape}
    kinds = list(MAKERS)
    for _ in range(20 * NUM_LAYERS):
        if len(names) > NUM_LAYERS:
            break
        first = names[-1] if rng.integers(2) else names[int(rng.integers(len(names)))]
        layer = MAKERS[kinds[int(rng.integers(len(kinds)))]](rng, shapes[first][-1])
        inputs = [first]
        if layer.num_inputs != 1:
            inputs.append(names[int(rng.integers(len(names)))])
        try:
            shape = layer.output_shape(*[shapes[i] for i in inputs])
        except ShapeError:
            continue
        name = graph.add(f"{type(layer).__name__.lower()}_{len(names)}", layer, inputs)
        names.append(name)
        shapes[name] = shape
    ends = [graph.add(f"flat_{n}", L.Flatten(), [n]) for n in names if not graph.consumers(n)]
    at = graph.add("ends", L.Concatenate(), ends) if len(ends) > 1 else ends[0]
    at = graph.add("logits", L.Dense(3), [at])
    graph.output = graph.add("softmax", L.Activation("softmax"), [at])
    check(graph)
    return new_weights(graph, seed)


def test_every_kind_of_layer_occurs():
    assert {L.Input, *MAKERS} == set(LAYERS)
    found = {type(node.layer) for seed in range(40) for _, node in random_graph(seed).items()}
    assert found == set(LAYERS)


@pytest.mark.parametrize("seed", range(60))
def test_operators_preserve_the_invariants(seed):
    graph = random_graph(seed)
    shapes, x = graph.copy(weights=False), images(graph, 2, seed)
    rng = np.random.default_rng(seed)
    for operator in (*EXACT, WidenConvolution(split=True), *APPROXIMATE):
        sites = operator.candidates(graph)
        for at in rng.permutation(len(sites))[:SITES]:
            site = sites[at]
            child = operator.apply(graph, site, rng=rng).graph
            check(child)
            on_shapes = operator.apply(shapes, site, rng=rng).graph
            assert to_json(on_shapes) == to_json(child.copy(weights=False)), site
            if operator.exact:
                assert relative_difference(graph, child, x) < TOLERANCE, site
            else:
                assert count_parameters(child) <= count_parameters(graph), site
