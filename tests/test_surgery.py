"""Surgery at named layers of a Keras model: what it preserves, changes and refuses."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_networks import residual

from lemonade_tf import Surgery
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.keras_bridge import from_keras
from lemonade_tf.latency import KERAS, LatencyModel, Measurement, one_network
from lemonade_tf.latency.features import FEATURES
from lemonade_tf.operators import SiteError
from lemonade_tf.surgery import budgets
from lemonade_tf.surgery.fitting import output_error

TOLERANCE = 2e-6  # of probabilities, float32


def many(number, seed):
    """Return images in which neighboring pixels correlate."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (number, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return (0.8 * coarse + 0.2 * rng.uniform(0, 255, coarse.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return residual(side=16)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)


def outputs(model, images):
    return np.asarray(model(images, training=False))


@pytest.mark.parametrize(
    "operate",
    [
        lambda s: s.widen("last_conv"),
        lambda s: s.widen("grow_conv", 1.5),
        lambda s: s.widen("grouped_conv", 1.34, split=True),
        lambda s: s.widen("stem_conv", 1.25),
        lambda s: s.deepen("block_out"),
        lambda s: s.deepen("gate_reduce", kernel_size=1),
        lambda s: s.deepen("grow_out", kernel_size=5),
        lambda s: s.add_skip("stem_out", "last_out"),
        lambda s: s.add_skip("grouped_out", "last_out", kind="concatenate"),
    ],
)
def test_growing_preserves_the_function(model, images, operate):
    surgery = Surgery(model)
    changed = operate(surgery)
    grown = surgery.model()
    assert grown.count_params() > model.count_params()
    assert set(changed) <= set(surgery.graph)
    assert changed
    np.testing.assert_allclose(outputs(grown, images), outputs(model, images), atol=TOLERANCE)
    learnable = surgery.model(learnable=True)
    np.testing.assert_allclose(outputs(learnable, images), outputs(model, images), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("operate", "layer", "filters"),
    [
        (lambda s: s.prune("last_conv", 0.25), "last_conv", 12),
        (lambda s: s.prune("stem_conv"), "block_conv", 4),
        (lambda s: s.prune("block_conv", 0.3), "stem_conv", 6),
        (lambda s: s.prune("gate_expand", 1 / 3), "grouped_conv", 8),
        (lambda s: s.separate("last_conv"), "last_conv", 16),
    ],
)
def test_shrinking_gives_a_smaller_working_model(model, images, operate, layer, filters):
    surgery = Surgery(model)
    operate(surgery)
    smaller = surgery.model()
    assert smaller.count_params() < model.count_params()
    assert smaller.get_layer(layer).filters == filters
    assert outputs(smaller, images).shape == (4, 10)
    assert {type(each).__module__.split(".")[0] for each in smaller.layers} == {"keras"}


def test_an_inserted_block_can_be_removed(model, images):
    surgery = Surgery(model)
    inserted, *_ = surgery.deepen("block_out")
    surgery.remove(inserted)
    assert surgery.model().count_params() == model.count_params()


def test_a_residual_branch_is_removed(images):
    start = keras.Input((16, 16, 3), name="images")
    stem = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(start)
    branch = keras.layers.Conv2D(4, 3, padding="same", name="branch")(stem)
    total = keras.layers.Add(name="sum")([stem, branch])
    model = keras.Model(start, keras.layers.Conv2D(2, 1, name="last")(total))
    surgery = Surgery(model)
    surgery.remove("sum")
    smaller = surgery.model()
    assert [layer.name for layer in smaller.layers] == ["images", "stem", "last"]
    assert outputs(smaller, images).shape == (4, 16, 16, 2)


def test_the_original_model_is_unchanged(model):
    before = [w.copy() for w in model.get_weights()]
    surgery = Surgery(model)
    surgery.prune("stem_conv")
    surgery.widen("last_conv")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
def test_several_operations_and_saving(model, images, tmp_path):
    surgery = Surgery(model, seed=1)
    surgery.widen("grow_conv", 2)
    surgery.deepen("grow_out")
    surgery.add_skip("grow_out", "last_out")
    edited = surgery.model()
    assert edited.name == "residual"
    edited.save(tmp_path / "edited.keras")
    loaded = keras.models.load_model(tmp_path / "edited.keras")
    np.testing.assert_array_equal(outputs(loaded, images), outputs(edited, images))
    np.testing.assert_allclose(outputs(loaded, images), outputs(model, images), atol=TOLERANCE)


def test_the_weight_of_a_skip_can_be_trained_and_folded(model, images):
    surgery = Surgery(model)
    skip = surgery.add_skip("stem_out", "last_out")[-1]
    learnable = surgery.model(learnable=True)
    (weight,) = learnable.get_layer(skip).trainable_weights
    weight.assign(0.25)  # as training does
    folded = Surgery(learnable).model()
    assert {type(layer).__module__.split(".")[0] for layer in folded.layers} == {"keras"}
    np.testing.assert_array_equal(outputs(folded, images), outputs(learnable, images))
    assert np.abs(outputs(folded, images) - outputs(model, images)).max() > 1e-4


def test_the_same_seed_gives_the_same_weights(model):
    weights = []
    for seed in (0, 0, 1):
        surgery = Surgery(model, seed=seed)
        surgery.widen("last_conv")
        weights.append(surgery.model().get_layer("last_conv").get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


@pytest.mark.parametrize(
    ("operate", "message"),
    [
        (
            lambda s: s.widen("last_cnv"),
            r"cannot widen 'last_cnv': there is no layer 'last_cnv'\. Similar"
            " names: last_conv",
        ),
        (
            lambda s: s.widen("classes"),
            "'classes' has a group of channels that cannot change: .* softmax over all channels",
        ),
        (
            lambda s: s.separate("depthwise"),
            "cannot separate 'depthwise': 'depthwise' is a Depth",
        ),
        (
            lambda s: s.widen("last_conv", 1),
            "cannot widen 'last_conv': factor is 1; expected a number of more than 1",
        ),
        (
            lambda s: s.widen("gate_reduce", 1.1),
            "1.1 times the 4 filters of 'gate_reduce' rounds to 4; .* next possible number is 5",
        ),
        (
            lambda s: s.prune("stem_conv", 0),
            "cannot prune 'stem_conv': share is 0; expected the share of the filters to remove",
        ),
        (
            lambda s: s.prune("gate_reduce", 0.1),
            "1/10 of the filters of 'gate_reduce' rounds to none",
        ),
        (
            lambda s: s.deepen("stem_conv"),
            r"'stem_conv' \(Conv2D\) may be negative.* is 'stem_out'",
        ),
        (lambda s: s.deepen("gated"), "next layer where a block can be inserted is 'block_out'"),
        (
            lambda s: s.deepen("block_out", kernel_size=4),
            "kernel_size is 4; expected an odd number",
        ),
        (lambda s: s.deepen("mean"), r"'mean' outputs shape \(16,\), not images"),
        (
            lambda s: s.separate("block_conv"),
            "has 96 parameters; a separable .* would have 108",
        ),
        (lambda s: s.remove("stem_conv"), r"changes the shape \(17, 17, 3\) to \(8, 8, 8\)"),
        (lambda s: s.remove("block_conv"), "not followed by batch norm and an activation alone"),
        (lambda s: s.remove("block_bn"), "'block_bn' is a BatchNormalization; expected a conv"),
        (lambda s: s.add_skip("last_out", "stem_out"), "'stem_out' does not depend on 'last_out'"),
        (lambda s: s.add_skip("stem_out", "block_out", kind="sum"), "the kind is 'sum'; expected"),
        (
            lambda s: s.add_skip("grow_out", "grouped_out", kind="concatenate"),
            "cannot add a skip from 'grow_out' to 'grouped_out': channels .*convex_sum",
        ),
    ],
)
def test_an_operation_that_does_not_apply_is_an_error_with_the_reason(model, operate, message):
    surgery = Surgery(model)
    before = surgery.graph
    with pytest.raises(SiteError, match=message):
        operate(surgery)
    assert surgery.graph is before


def test_channels_tied_to_the_input_or_the_output_are_refused():
    start = keras.Input((8, 8, 3), name="images")
    tensor = keras.layers.Conv2D(3, 3, padding="same", name="inner")(start)
    tensor = keras.layers.Add(name="sum")([start, tensor])
    surgery = Surgery(keras.Model(start, keras.layers.Conv2D(2, 1, name="logits")(tensor)))
    with pytest.raises(
        SiteError, match=r"'inner' has a group of channels that cannot change: .*input 'images'"
    ):
        surgery.widen("inner")
    with pytest.raises(
        SiteError, match=r"'logits' has a group of channels that cannot change: .*the output"
    ):
        surgery.prune("logits")


def test_a_model_of_variable_size_takes_an_input_shape():
    start = keras.Input((None, None, 3), name="images")
    model = keras.Model(start, keras.layers.Conv2D(4, 3, name="conv")(start))
    surgery = Surgery(model, input_shape=(8, 8, 3))
    assert surgery.graph.shapes()["conv"] == (6, 6, 4)
    assert surgery.model().input_shape == (None, None, None, 3)


# --- Requests ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    """Return a network without batch norm, with a hidden dense layer."""
    keras.utils.set_random_seed(0)
    start = keras.Input((8, 8, 3), name="image")
    tensor = start
    for name in ("first", "second"):
        layer = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=name)
        tensor = layer(tensor)
    tensor = keras.layers.Dense(16, activation="relu", name="hidden")(
        keras.layers.Flatten()(tensor)
    )
    return keras.Model(start, keras.layers.Dense(3, activation="softmax", name="out")(tensor))


SOME = np.random.default_rng(0).uniform(-2, 2, (80, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("operate", "message"),
    [
        (lambda s: s.widen("first", float("inf")), "factor is inf; expected"),
        (
            lambda s: s.widen("first", 1e9),
            "1e\\+09 times its 8 filters are too many; expected at m",
        ),
        (lambda s: s.widen("first", "2"), "factor is '2'; expected"),
        (lambda s: s.widen(None), "cannot widen None: expected the name of a layer"),
        (lambda s: s.widen("FIRST_"), "there is no layer 'FIRST_'. Similar names: first"),
        (lambda s: s.deepen("first", kernel_size=3.0), "kernel_size is 3.0; expected an odd"),
        (lambda s: s.prune("first", "1/2"), "share is '1/2'; expected the share of the filters"),
        (lambda s: s.prune("first", channels=[0, 8]), "is \\[0, 8\\]; expected .* from 0 to 7"),
        (lambda s: s.prune("first", channels=np.array(3)), "expected the indices of filters"),
        (lambda s: s.prune("first", channels={0: 1}), "expected the indices of filters"),
        (lambda s: s.shrink(latency=0.5, latency_model=3), "latency_model is a int; expected a"),
        (lambda s: s.prune("first", channels=range(8)), "no channel of 'first', .* would stay"),
        (lambda s: s.prune("first", 0.5, channels=[1]), "leave share and importance out"),
        (lambda s: s.prune("first", importance=[1, 2]), "is \\[1, 2\\]; expected 8 finite numbers"),
        (lambda s: s.shrink(), "expected a limit, multiply_adds or parameters or latency"),
        (lambda s: s.shrink(latency=2), "latency is 2; expected a share of the present latency"),
        (
            lambda s: s.shrink(parameters=0.5, latency_model=object()),
            "latency_model is given; expected latency with it",
        ),
        (lambda s: s.shrink(parameters=0), "parameters is 0; expected a share"),
        (lambda s: s.shrink(multiply_adds=1e9), "which is not more"),
        (lambda s: s.shrink(multiply_adds=10), "would still have .* expected at least that"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_line(plain, operate, message):
    surgery = Surgery(plain)
    with pytest.raises(SiteError, match=message) as error:
        operate(surgery)
    assert "\n" not in str(error.value)
    assert surgery.model().count_params() == plain.count_params()


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_a_seed_is_an_integer(plain, seed):
    with pytest.raises(SiteError, match=f"seed is {seed!r}; expected an integer"):
        Surgery(plain, seed=seed)


def test_numbers_of_numpy_and_layers_are_accepted(plain):
    surgery = Surgery(plain)
    surgery.widen(plain.get_layer("first"), np.float32(1.5))
    surgery.widen("hidden")
    surgery.deepen("first", kernel_size=np.int64(3))
    assert surgery.graph["first"].layer.filters == 12
    assert surgery.graph["hidden"].layer.units == 32
    assert "bn_1" not in surgery.graph  # as in the rest of the model
    np.testing.assert_allclose(outputs(surgery.model(), SOME), outputs(plain, SOME), atol=TOLERANCE)
    surgery = Surgery(plain)
    surgery.remove("second")
    assert "second" not in surgery.graph


def test_a_convolution_with_a_group_per_channel_changes_with_its_producer():
    layers, start = keras.layers, keras.Input((8, 8, 3))
    tensor = layers.Conv2D(70, 3, padding="same", name="first")(start)
    grouped = layers.Conv2D(140, 3, groups=70, activation="relu", name="grouped")
    model = keras.Model(start, layers.Conv2D(4, 1, name="last")(grouped(tensor)))
    surgery = Surgery(model)
    assert surgery.model().get_config() == model.get_config()
    np.testing.assert_array_equal(outputs(surgery.model(), SOME), outputs(model, SOME))
    with pytest.raises(SiteError, match="its channels come from first"):
        surgery.prune("grouped")  # two channels for each of the filters of `first`
    surgery.prune("first", channels=range(30))
    pruned = surgery.model()
    layer = pruned.get_layer("grouped")
    assert (type(layer), layer.filters, layer.groups) == (layers.Conv2D, 80, 40)
    same = keras.models.clone_model(model)
    same.set_weights(model.get_weights())
    kernel, bias = same.get_layer("last").get_weights()
    kernel[:, :, :60] = 0  # of what is pruned
    same.get_layer("last").set_weights([kernel, bias])
    np.testing.assert_allclose(outputs(pruned, SOME), outputs(same, SOME), atol=TOLERANCE)


def test_a_network_that_does_not_fit_into_memory_is_refused(plain, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda _: 100)  # pages of 100 bytes, 100 of them
    with pytest.raises(SiteError, match=r"would have [\d,]+ parameters, 0.0 GB, and this machine"):
        Surgery(plain).widen("first")


def test_channels_and_a_custom_importance_choose_the_filters(plain):
    kernel = plain.get_layer("first").kernel.numpy()
    importance = np.arange(8.0)
    for choose, removed in (
        ({"channels": [0, 4, 6]}, [0, 4, 6]),
        ({"share": 0.25, "importance": importance}, [0, 1]),
        ({"share": 0.25, "importance": lambda name, weights: -importance}, [6, 7]),
    ):
        surgery = Surgery(plain)
        surgery.prune("first", **choose)
        kept = surgery.graph["first"].weights["kernel"]
        np.testing.assert_array_equal(kept, np.delete(kernel, removed, axis=-1))


def test_channels_of_one_layer_are_removed_from_tied_ones(model):
    surgery = Surgery(model)
    surgery.prune("stem_conv", channels=[1, 2])
    for name in ("stem_conv", "block_conv"):
        kernel = model.get_layer(name).kernel.numpy()
        kept = surgery.graph[name].weights["kernel"]
        np.testing.assert_array_equal(kept[0, 0, 0], np.delete(kernel[0, 0, 0], [1, 2]))


@pytest.mark.parametrize(
    "give",
    [
        list,
        lambda x: (x, np.zeros(len(x))),
        lambda x: x.astype(object),
        lambda x: ((image, 0) for image in x),
        lambda x: [x, np.zeros(len(x))],
        lambda x: (x, x, np.zeros(len(x))),
        lambda x: [x[:50], x[50:]],
        lambda x: [(x[:50], np.zeros(50)), (x[50:], np.zeros(30))],
        lambda x: {"image": x},
        lambda x: (x[i : i + 8] for i in range(0, len(x), 8)),
    ],
)
def test_images_come_in_many_forms(plain, give):
    surgery = Surgery(plain, images=give(SOME))
    np.testing.assert_array_equal(surgery._fits.images, SOME)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.where(np.arange(80)[:, None, None, None] == 3, np.nan, SOME),
            r"images\[3, 0, 0, 0\] is n",
        ),
        ("images/", "images is 'images/'; expected an array"),
        ([SOME[0], SOME[1][:4]], "a list with images of the shapes"),
        (np.array(["a"]), "no array of numbers"),
    ],
)
def test_other_images_are_an_error(plain, images, message):
    with pytest.raises(ValueError, match=message):
        Surgery(plain, images=images)


def test_images_of_another_scale_and_few_images_are_warned_of(model):
    with pytest.warns(UserWarning, match="do not have the scale"):
        Surgery(model, images=many(64, seed=0) * 1e5)
    surgery, unfitted = Surgery(model, images=many(2, seed=0)), Surgery(model)
    with pytest.warns(UserWarning, match=r"2 images are few .* which need 64 or .*: \d") as found:
        surgery.prune("last_conv")
    assert [warning.filename for warning in found] == [__file__]
    surgery.prune("last_conv", 0.25)  # without another warning
    unfitted.prune("last_conv")
    unfitted.prune("last_conv", 0.25)
    others = many(10, seed=1)
    np.testing.assert_array_equal(
        outputs(surgery.model(), others), outputs(unfitted.model(), others)
    )


@pytest.mark.filterwarnings("ignore:.* images are few")
@pytest.mark.parametrize("number", [6, 12, 40])
@pytest.mark.parametrize(
    "operate", [lambda s: s.prune("second"), lambda s: s.shrink(multiply_adds=0.4)]
)
def test_few_images_are_not_worse_than_none(plain, number, operate):
    others = np.random.default_rng(1).uniform(-2, 2, (200, 8, 8, 3)).astype(np.float32)

    def error(images):
        surgery = Surgery(plain, images=images)
        operate(surgery)
        return output_error(surgery.graph, from_keras(plain), others)

    few, none = error(SOME[:number]), error(None)
    assert few == none if number == 6 else few <= 1.01 * none


@pytest.fixture(scope="module")
def pair():
    """Return a network with two inputs, in a dictionary with other keys."""
    keras.utils.set_random_seed(0)
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 1), name="right")
    sides = [keras.layers.Conv2D(6, 3, activation="relu", name=t.name[0])(t) for t in (left, right)]
    tensor = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()(sides))
    outputs = keras.layers.Dense(3)(tensor)
    with pytest.warns(UserWarning, match="all keys in the dict must match"):
        return keras.Model({"a": left, "right": right}, outputs)


GRAY = SOME[..., :1]


@pytest.mark.parametrize(
    "give",
    [
        lambda a, b: {"a": a, "right": b},
        lambda a, b: {"right": b, "left": a},
        lambda a, b: [a, b],
        lambda a, b: ({"a": a, "right": b}, np.zeros(len(a))),
        lambda a, b: (({"a": x, "right": y}, 0) for x, y in zip(a, b, strict=True)),
        lambda a, b: [((a[:50], b[:50]), np.zeros(50)), ((a[50:], b[50:]), np.zeros(30))],
    ],
)
def test_images_for_several_inputs(pair, give):
    images = Surgery(pair, images=give(SOME, GRAY))._fits.images
    np.testing.assert_array_equal(images["left"], SOME)
    np.testing.assert_array_equal(images["right"], GRAY)


def test_networks_with_several_inputs_are_fitted(pair):
    changes = []
    for images in (None, [SOME, GRAY]):
        surgery = Surgery(pair, images=images)
        surgery.prune("l")
        changes.append(output_error(surgery.graph, from_keras(pair), {"left": SOME, "right": GRAY}))
    assert changes[1] < 0.5 * changes[0]
    surgery.shrink(parameters=0.7)
    surgery.distill()
    assert "on 32 images" in str(surgery)
    for images, message in (
        ({"left": SOME}, "a dict with 'left'; expected images for each input, in a dictionary"),
        (SOME, "a ndarray; expected images for each input"),
        ([SOME, GRAY[:9]], "80 for 'left', 9 for 'right'; expected the same number"),
        ([SOME, SOME], re.escape("shape (80, 8, 8, 3); expected (n, 8, 8, 1)")),
    ):
        with pytest.raises(ValueError, match=message):
            Surgery(pair, images=images)


# --- To a budget ---------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [None, SOME])
def test_shrinking_meets_every_limit_and_is_reported(plain, images):
    surgery = Surgery(plain, images=images)
    names = surgery.shrink(multiply_adds=0.5, parameters=4000)
    assert set(names) <= {"first", "second", "hidden"}
    smaller = surgery.model()
    assert smaller.count_params() <= 4000
    report = str(surgery)
    assert f"{smaller.count_params():,}" in report
    assert "shrink to multiply_adds=0.5, parameters=4000: " in report
    assert "change of the output: largest" in report
    again = Surgery(plain, images=images)
    again.shrink(multiply_adds=0.5, parameters=4000)
    np.testing.assert_array_equal(outputs(again.model(), SOME), outputs(smaller, SOME))


def test_layers_may_shrink_to_their_last_filter():
    start = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="narrow")(start)
    x = keras.layers.Conv2D(1, 3, activation="relu", name="single")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    surgery = Surgery(keras.Model(start, keras.layers.Dense(2)(x)))
    surgery.shrink(multiply_adds=0.3)
    assert surgery.model().get_layer("narrow").filters == 1
    assert surgery.model().get_layer("single").filters == 1


WEIGHTS = {"passes": 1e-6, "convolutions": 1e-6, "window_multiply_adds": 1e-9, "other_values": 1e-9}


@pytest.mark.parametrize("cost", ["parameters", "multiply_adds"])
def test_layers_that_are_called_twice_count_as_in_the_model(cost):
    twice = keras.layers.Conv2D(12, 3, padding="same", activation="relu", name="twice")
    start = keras.Input((8, 8, 12))
    tensor = keras.layers.Conv2D(12, 3, padding="same", name="first")(start)
    tensor = keras.layers.Conv2D(6, 3, padding="same", name="last")(twice(twice(tensor)))
    surgery = Surgery(keras.Model(start, tensor))
    count = {"parameters": count_parameters, "multiply_adds": count_multiply_adds}[cost]
    before = count(surgery.graph)
    assert budgets.COUNTED[cost](surgery.graph).total == before
    surgery.shrink(**{cost: 0.6})
    assert 0.5 * before < count(surgery.graph) <= 0.6 * before
    assert surgery.model().count_params() == count_parameters(surgery.graph)


@pytest.mark.parametrize("images", [None, SOME])
def test_shrinking_to_a_share_of_the_latency(plain, images):
    model = LatencyModel(KERAS, tuple(WEIGHTS.get(name, 0.0) for name in FEATURES))
    surgery = Surgery(plain, images=images)
    before = model.seconds(surgery.graph)
    surgery.shrink(latency=0.7, latency_model=model)
    after = model.seconds(surgery.graph)
    assert 0.6 * before < after <= 0.7 * before
    expected = f"(predicted {1e3 * after:.3g} of {1e3 * before:.3g} ms per image): "
    assert f"shrink to latency=0.7 {expected}" in str(surgery)
    with pytest.raises(SiteError, match=r"latency=0.01: with 10% of each layer's filters"):
        surgery.shrink(latency=0.01, latency_model=model)


def test_the_latency_of_the_network_is_measured_where_no_model_is_given(plain, monkeypatch):
    def measured(builders, protocol, *, rounds):
        del protocol, rounds
        if len(builders) == 2:  # at the end, before and after
            return [Measurement(each, 1, 0.0) for each in (1.0, reached)]
        batch = builders[0].args[1]
        assert np.asarray(builders[0]()()).shape == (batch, 3)  # the whole network runs
        adds = [count_multiply_adds(build.args[0]) for build in builders]
        assert adds[:4] == sorted(adds[:4], reverse=True)  # it and pruned versions
        assert adds[0] == count_multiply_adds(from_keras(plain)) < sum(adds[4:])
        return [Measurement(batch * (1e-5 + 1e-9 * each), 1, 0.0) for each in adds]

    monkeypatch.setattr(one_network, "measure_passes", measured)
    surgery, reached = Surgery(plain), 0.94
    assert surgery.shrink(latency=0.95)
    assert re.search(
        r"shrink to latency=0.95 \(predicted 0.*, measured 0.94 of the time before\)", str(surgery)
    )
    surgery, reached = Surgery(plain), 0.99
    with pytest.warns(UserWarning, match=r"latency=0.9 reached 0.99 of the time before, as m"):
        surgery.shrink(latency=0.9)
    assert "measured 0.99 of the time before" in str(surgery)


def logits(model, images):
    return np.log(np.maximum(outputs(model, images), 1e-12))


def test_distillation_recovers_and_leaves_frozen_layers_and_statistics_alone(model):
    frozen = keras.models.clone_model(model)
    frozen.set_weights(model.get_weights())
    frozen.get_layer("grow_conv").trainable = False
    surgery = Surgery(frozen)
    surgery.prune("last_conv")
    before = surgery.model()
    surgery.distill(many(64, seed=0), epochs=2)
    after, others = surgery.model(), many(32, seed=1)
    distances = [
        np.abs(logits(each, others) - logits(model, others)).mean() for each in (before, after)
    ]
    assert distances[1] < 0.9 * distances[0]
    moved = 0
    for old, new in zip(before.weights, after.weights, strict=True):
        equal = np.array_equal(old.numpy(), new.numpy())
        moved += not equal
        if "moving" in old.path or "grow_conv" in old.path:
            assert equal, old.path
    assert moved > 10
    assert not after.get_layer("grow_conv").trainable
    assert re.search(r"distill on 64 images, epochs=2: relative squared error", str(surgery))


def test_distillation_never_keeps_worse_weights(plain):
    surgery = Surgery(plain)
    surgery.distill(SOME[:6], learning_rate=1e3)  # there is nothing to recover
    np.testing.assert_array_equal(outputs(surgery.model(), SOME), outputs(plain, SOME))


def test_frozen_models_are_not_distilled(plain):
    frozen = keras.models.clone_model(plain)
    frozen.trainable = False
    with pytest.raises(ValueError, match="cannot distill: all layers with weights are frozen"):
        Surgery(frozen).distill(SOME)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
@pytest.mark.filterwarnings("ignore:4 images are few")
def test_the_example_in_the_documentation(tmp_path, monkeypatch):
    documents = (Path(__file__).parent.parent / "docs").joinpath
    text = documents("surgery.md").read_text() + documents("library.md").read_text()
    first, fitted, _, second, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(first, names)
    model, images = names["model"], np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3))
    assert names["wider"].get_layer("block_6_expand").filters == 288
    assert names["wider"].count_params() > model.count_params()
    np.testing.assert_allclose(outputs(names["wider"], images), outputs(model, images), atol=1e-6)
    smaller = keras.models.load_model("smaller.keras")
    assert smaller.count_params() < model.count_params()
    assert smaller.get_layer("block_13_project").filters == 80
    assert not [layer.name for layer in smaller.layers if layer.name.startswith("block_12_")]
    names["images"] = images.repeat(4, axis=0)
    exec(fitted, names)
    assert names["surgery"].graph["Conv_1"].layer.filters == 960
    exec(second, names)
    np.testing.assert_allclose(outputs(names["wider"], images), outputs(model, images), atol=1e-6)


# --- With images ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operate",
    [
        lambda s: s.prune("last_conv"),
        lambda s: s.prune("grow_conv", 0.4),
        lambda s: s.prune("stem_conv", 0.25),
        lambda s: s.separate("stem_conv"),
        lambda s: s.prune("block_conv", 0.25),
    ],
)
def test_shrinking_with_images_changes_the_function_less(model, operate):
    others = many(100, seed=1)
    expected = np.log(outputs(model, others))

    def damage(images):
        surgery = Surgery(model, images=images)
        operate(surgery)
        smaller = surgery.model()
        assert smaller.count_params() < model.count_params()
        return np.abs(np.log(outputs(smaller, others)) - expected).mean()

    assert damage(many(200, seed=0)) < 0.8 * damage(None)


def test_sums_and_concatenations_of_one_tensor_are_fitted():
    keras.utils.set_random_seed(0)
    layers, start = keras.layers, keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="first")(start)
    x = layers.Concatenate()([layers.Add()([x])])
    x = layers.Conv2D(8, 3, activation="relu", name="second")(x)
    model = keras.Model(start, layers.Dense(2)(layers.Concatenate()([layers.Flatten()(x)])))
    changes = []
    for images in (None, SOME):
        surgery = Surgery(model, images=images)
        surgery.prune("first")
        changes.append(output_error(surgery.graph, from_keras(model), SOME))
        surgery.deepen("second")
        surgery.shrink(parameters=0.5)
    assert changes[1] < changes[0]


def test_growing_with_images_preserves_the_function(model, images):
    surgery = Surgery(model, images=many(32, seed=0))
    surgery.deepen("block_out")
    surgery.widen("last_conv")
    np.testing.assert_allclose(
        outputs(surgery.model(), images), outputs(model, images), atol=TOLERANCE
    )


@pytest.mark.parametrize("shape", [(10, 8, 8, 3), (0, 16, 16, 3), (16, 16, 3)])
def test_images_of_another_shape_are_an_error(model, shape):
    message = f"shape {shape}; expected (n, 16, 16, 3), the input of the model"
    with pytest.raises(ValueError, match=re.escape(message)):
        Surgery(model, images=np.zeros(shape))


def _inner(name, filters):
    inputs = keras.Input((8, 8, 4))
    features = keras.layers.Conv2D(filters, 3, padding="same", name="conv")(inputs)
    outputs = keras.layers.Conv2D(4, 1, name="last")(features)
    return keras.Model(inputs, outputs, name=name)


def test_a_layer_object_is_that_layer_and_no_other_of_its_name():
    inputs = keras.Input((8, 8, 4))
    features = keras.layers.Conv2D(5, 3, name="conv")(_inner("b", 7)(_inner("a", 6)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(features)))
    surgery = Surgery(model)
    surgery.widen(model.get_layer("a").get_layer("conv"), 2)
    result = surgery.model()
    filters = [each.get_layer("conv").filters for each in (result.get_layer("a"), result)]
    assert filters == [12, 5]
    for other in (keras.layers.Conv2D(5, 3, name="conv"), result.get_layer("a").get_layer("conv")):
        with pytest.raises(SiteError, match="of another model, and this one has 'a_conv', 'b_conv"):
            surgery.widen(other)


@pytest.mark.parametrize(
    "give",
    [
        list,
        lambda x: (x, np.zeros(len(x))),
        lambda x: [({"images": x}, np.zeros(len(x)))],
    ],
    ids=["list", "(x, y)", "({name: x}, y)"],
)
def test_images_of_any_form_tell_an_open_size(give):
    inputs = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(features))
    images = np.random.default_rng(0).normal(size=(64, 8, 6, 3))
    graph = Surgery(model, images=give(images)).graph
    assert graph.shapes()[graph.input] == (8, 6, 3)


def test_an_infinite_dataset_is_refused_where_all_images_are_used(plain):
    import tensorflow as tf

    images = np.zeros((8, *plain.input_shape[1:]), np.float32)
    endless = tf.data.Dataset.from_tensor_slices(images).batch(4).repeat()
    with pytest.raises(ValueError, match="infinite dataset; expected a finite one"):
        Surgery(plain).distill(endless)


def test_weights_that_are_not_finite_are_warned_of():
    inputs = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 3, name="conv")
    model = keras.Model(inputs, keras.layers.Flatten()(layer(inputs)))
    layer.bias.assign([0, np.nan, 0, 0])
    with pytest.warns(UserWarning, match=r"weights are NaN or infinite: .*conv"):
        surgery = Surgery(model)
    copy = surgery.model().get_layer("conv")
    np.testing.assert_array_equal(copy.bias.numpy(), layer.bias.numpy())
