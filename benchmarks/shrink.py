"""Compare ways of choosing the channels that `Surgery.shrink` removes.

    python benchmarks/shrink.py [--output FOLDER] [--dataset cifar10] [--data_dir DIR]
                                [--images N] [--epochs N] [--epochs_after N] [--labels]
                                [--methods METHOD ...] [--quick]

For three seeds, a residual network is trained with a cosine decay (on CIFAR-10 with shifted and
mirrored images), then shrunk to 75, 50 and 25 % of its multiply-adds:

    shrink, images    `shrink(multiply_adds=...)` with 256 images, without labels
    shrink            the same without images
    uniform           the same share of every layer, by the norms of the filters
    uniform, images   the same, and the layers after are fitted to 256 images
    magnitude         a global ranking of the norms of filters, relative to their layer's mean
    group norm        a global ranking of the squared norms of all weights of a channel, those of
                      its consumers and batch norms included, relative to the mean of the group, as
                      the group norm of Torch-Pruning (Fang et al., 2023, "DepGraph")
    Torch-Pruning     the library itself with its group norm and global ranking (`depgraph.py`), if
                      it is installed (`pip install torch torch-pruning`)

and distilled for one epoch (`--epochs_after`; 0 for none). With `--labels`, it is trained on labels
instead: the same optimizer, schedule and batches, but batch norms use the statistics of batches.
Prints the accuracy on test images before and after that epoch as a table, means over the seeds with
the range. The test images of digits chose the settings of `distill`, so they are left out here:
each seed holds back 300 other images of the training images instead. Results are kept in
FOLDER/results.jsonl, by default in a new temporary folder; rerun the command with the same folder
to continue. With --quick: one seed, one budget, a small network. The last line is the mean accuracy
of `shrink, images` over that of the best other method without images, both undistilled.
"""

import json
import tempfile
from pathlib import Path
from statistics import mean

import depgraph
import keras
import numpy as np
from script import Parser, run_benchmark

from lemonade_tf import Surgery
from lemonade_tf.architecture.channel_costs import ChannelCosts
from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.cost import count_multiply_adds, layer_multiply_adds
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.operators.kernels import full_kernel
from lemonade_tf.operators.prune import filter_norms, group_importance

AUGMENTED = ("cifar10",)  # digits may be neither mirrored nor, in 8x8 pixels, shifted
HELD_BACK = 300  # of the images of digits, by each seed
SHARES = (0.75, 0.5, 0.25)
METHODS = (
    *("shrink, images", "shrink", "uniform, images", "uniform", "magnitude", "group norm"),
    "Torch-Pruning",
)
IMAGES = 256  # without labels, that some methods get
BATCH = 64


def network(shape, num_classes, widths):
    """Return a residual network with batch norm, for raw pixels."""

    def convolution(tensor, filters, strides=1, activate=True):
        tensor = keras.layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(
            tensor
        )
        tensor = keras.layers.BatchNormalization()(tensor)
        return keras.layers.ReLU()(tensor) if activate else tensor

    start = keras.Input(shape)
    tensor = convolution(keras.layers.Rescaling(1 / 127.5, -1)(start), widths[0])
    for width in widths[1:]:
        tensor = convolution(tensor, width, strides=2)
        branch = convolution(convolution(tensor, width), width, activate=False)
        tensor = keras.layers.ReLU()(keras.layers.Add()([tensor, branch]))
    tensor = keras.layers.GlobalAveragePooling2D()(tensor)
    return keras.Model(start, keras.layers.Dense(num_classes, activation="softmax")(tensor))


def trained(path, data, widths, epochs, seed, *, augment):
    """Return a trained network, from a file if it is there."""
    if path.exists():
        return keras.models.load_model(path)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = network(data["x"].shape[1:], int(data["y"].max()) + 1, widths)
    steps = epochs * -(-len(data["x"]) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(epochs):
        images = augmented(data["x"], rng) if augment else data["x"]
        model.fit(images, data["y"], batch_size=BATCH, verbose=0)
    model.save(path)
    return model


def augmented(images, rng):
    """Return images that are shifted by up to 4 pixels and mirrored, each in its own way."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
    rows, columns = rng.integers(0, 9, (2, len(images)))
    shifted = windows[np.arange(len(images)), rows, columns].transpose(0, 2, 3, 1)
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], shifted[:, :, ::-1], shifted)


def trained_on_labels(model, data, epochs, seed):
    """Return a model after some epochs with the batch size and the optimizer of `distill`."""
    keras.utils.set_random_seed(seed)
    steps = epochs * -(-len(data["x"]) // 16)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 10, warmup_target=1e-3, warmup_steps=steps // 10
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # as in PyTorch; with 0.99, an epoch would be too short
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(data["x"], data["y"], batch_size=16, epochs=epochs, verbose=0)
    return model


def accuracy(model, data):
    found = model.predict(data["x_test"], batch_size=256, verbose=0)
    return float((found.argmax(axis=1) == data["y_test"]).mean())


# --- Methods -------------------------------------------------------------------------------------


def shrunk(model, method, share, images):
    """Return the surgery of a model that a method shrank."""
    with_images = method.endswith("images")
    surgery = Surgery(model, images=images if with_images else None)
    if method.startswith("shrink"):
        surgery.shrink(multiply_adds=share)
    elif method == "magnitude":
        surgery.shrink(multiply_adds=share, importance=relative_norms)
    elif method == "group norm":
        remove(surgery, share, group_norms(surgery.graph))
    elif method == "Torch-Pruning":
        surgery.graph = Surgery(depgraph.pruned(model, share, images)).graph
    else:
        prune_uniformly(surgery, share)
    return surgery


def relative_norms(name, weights):
    norms = np.abs(weights["kernel"]).reshape(-1, weights["kernel"].shape[-1]).sum(axis=0)
    return norms / norms.mean()


def prunable(graph):
    groups = channel_groups(graph)
    used = {run.group for name in graph for run in groups.runs[name]}
    return [group for group in sorted(used) if group not in groups.fixed]


def group_norms(graph):
    """Return, by group, the norm of all weights of each channel, relative to their mean."""
    groups, norms = channel_groups(graph), {}
    for group in prunable(graph):
        total = group_importance(graph, group, squared_filters)
        for _, node in graph.items():
            runs = groups.runs[node.inputs[0]] if node.inputs else ()
            if group not in {run.group for run in runs}:
                continue
            if isinstance(node.layer, BatchNormalization):
                total += node.weights["gamma"] ** 2
            elif isinstance(node.layer, ABSORBERS):
                kernel = full_kernel(node.layer, node.weights).astype(np.float64)
                total += (kernel**2).sum(axis=(0, 1, 3))
        norms[group] = total / total.mean()
    return norms


def squared_filters(graph, name):
    kernel = full_kernel(graph[name].layer, graph[name].weights).astype(np.float64)
    return (kernel**2).sum(axis=(0, 1, 2))


def remove(surgery, share, scores):
    """Remove the channels of the lowest scores until the budget is met."""
    graph = surgery.graph
    costs = ChannelCosts(graph, layer_multiply_adds)
    limit, removed = share * costs.total, {group: [] for group in scores}
    ranked = sorted((s, g, i) for g, values in scores.items() for i, s in enumerate(values))
    for _, group, channel in ranked:
        if costs.total > limit and costs.sizes[group] > max(1, 0.1 * len(scores[group])):
            costs.remove(group)
            removed[group].append(channel)
    prune(surgery, removed)


def prune(surgery, removed):
    """Remove channels of groups, each by a layer that has them."""
    groups = channel_groups(surgery.graph)
    for name in surgery.graph.topological_order():
        own = groups.groups_of(name)
        if isinstance(surgery.graph[name].layer, ABSORBERS) and len(own) == 1:
            channels = removed.pop(own[0], None)
            if channels:
                surgery.prune(name, channels=channels)


def prune_uniformly(surgery, share):
    """Remove the same share of every group, the largest that meets the budget."""
    graph, groups = surgery.graph, channel_groups(surgery.graph)
    total = count_multiply_adds(graph)
    for percent in range(1, 100):
        costs = ChannelCosts(graph, layer_multiply_adds)
        numbers = {
            g: min(round(percent / 100 * groups.sizes[g]), groups.sizes[g] - 1)
            for g in prunable(graph)
        }
        for group, number in numbers.items():
            costs.remove(group, number)
        if costs.total <= share * total:
            break
    norms = {g: group_importance(graph, g, filter_norms) for g in numbers}
    prune(surgery, {g: list(np.argsort(norms[g])[:number]) for g, number in numbers.items()})


# --- Run -----------------------------------------------------------------------------------------


def read(args, seed):
    """Return the training images, and test images on which nothing was chosen."""
    data = load_dataset(args.dataset, args.data_dir)
    images, labels = np.asarray(data.x_train, np.float32), np.asarray(data.y_train)
    test_images, test_labels = data.x_test[:2000], data.y_test[:2000]
    if args.dataset == "digits":
        order = np.random.default_rng(0).permutation(len(images))
        test = np.arange(len(images)) // HELD_BACK == seed
        test_images, test_labels = images[order[test]], labels[order[test]]
        images, labels = images[order[~test]], labels[order[~test]]
    number = 500 if args.quick else args.images
    return {
        "x": images[:number],
        "y": labels[:number],
        "x_test": np.asarray(test_images, np.float32),
        "y_test": np.asarray(test_labels),
    }


def table(results, after):
    rows = {}
    for r in results:
        rows.setdefault((r["dataset"], r["share"], r["method"]), []).append(r)
    for (dataset, share, method), found in rows.items():
        cells = []
        for key in dict.fromkeys(("before", after)):
            values = [100 * r[key] for r in found if key in r]
            spread = (
                f"{mean(values):5.1f} ({min(values):.1f} to {max(values):.1f})" if values else ""
            )
            cells.append(spread)
        seeds = len({r["seed"] for r in found})
        print(f"| {dataset} | {share:.0%} | {method} | {' | '.join(cells)} | {seeds} |")


def main():
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--images", type=int, default=3000, help="training images, at most")
    parser.add_argument("--epochs", type=int, default=60, help="of training the network")
    parser.add_argument("--epochs_after", type=int, default=1, help="of distillation")
    parser.add_argument("--labels", action="store_true", help="train on labels instead")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="only these")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    output = args.output or Path(tempfile.mkdtemp(prefix="shrink-"))
    output.mkdir(parents=True, exist_ok=True)
    file = output / "results.jsonl"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    key = ("labels" if args.labels else "after") if args.epochs_after else "before"
    done = {(r["dataset"], r["seed"], r["share"], r["method"]) for r in results if key in r}
    methods = list(args.methods or METHODS)
    if "Torch-Pruning" in methods and not depgraph.is_installed():
        methods.remove("Torch-Pruning")
        print("Torch-Pruning is left out: it is not installed.")
    widths = (8, 16) if args.quick else (16, 32, 64)
    for seed in range(1 if args.quick else 3):
        path = output / f"{args.dataset}_{seed}.keras"
        data, epochs = read(args, seed), 2 if args.quick else args.epochs
        model = trained(path, data, widths, epochs, seed, augment=args.dataset in AUGMENTED)
        full = accuracy(model, data)
        for share in (0.5,) if args.quick else SHARES:
            for method in methods:
                if (args.dataset, seed, share, method) in done:
                    continue
                surgery = shrunk(model, method, share, data["x"][:IMAGES])
                left = count_multiply_adds(surgery.graph)
                result = {
                    "dataset": args.dataset,
                    "seed": seed,
                    "share": share,
                    "method": method,
                    "full": full,
                    "multiply_adds": left,
                    "before": accuracy(surgery.model(), data),
                }
                if key == "labels":
                    found = trained_on_labels(surgery.model(), data, args.epochs_after, seed)
                    result[key] = accuracy(found, data)
                elif key == "after":
                    surgery.distill(data["x"], epochs=args.epochs_after)
                    result[key] = accuracy(surgery.model(), data)
                results.append(result)
                with file.open("a") as stream:
                    stream.write(json.dumps(result) + "\n")
                print(json.dumps(result), flush=True)
    results = [r for r in results if key in r]
    table(results, key)
    before = {m: [r["before"] for r in results if r["method"] == m] for m in METHODS}
    others = [mean(before[m]) for m in METHODS if before[m] and not m.endswith("images")]
    if before[METHODS[0]] and others:
        print(f"ratio: {mean(before[METHODS[0]]) / max(others):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
