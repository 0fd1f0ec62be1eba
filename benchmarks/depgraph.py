"""Prune a Keras model with Torch-Pruning (Fang et al., 2023, "DepGraph"), for `shrink.py`.

The model is built in PyTorch with the same weights, pruned there by the library itself, and built
in Keras again. Both directions are checked: the outputs have to be the same.
"""

from importlib.util import find_spec

import keras
import numpy as np

layers = keras.layers
STEPS = 400  # of the removal of all channels, as in the library's own experiments
TOLERANCE = 1e-4  # of probabilities


def is_installed():
    return find_spec("torch") is not None and find_spec("torch_pruning") is not None


def pruned(model, share, images):
    """Return a model that Torch-Pruning pruned to a share of the multiply-adds.

    Its `BasePruner`, formerly `MetaPruner`, ranks the channels of all layers together by
    `GroupMagnitudeImportance`, the group norm, with its default settings, in many small steps.

    Args:
        model: Of convolutions, batch norms, ReLUs, additions and a Dense layer with softmax.
        share: Of the multiply-adds of convolutions and Dense layers.
        images: A few, to compare outputs on.
    """
    import torch
    import torch_pruning

    network, sample = module(model).eval(), torch.from_numpy(images).permute(0, 3, 1, 2)
    check_same(model, network, images)
    output = next(part for part in network.modules() if isinstance(part, torch.nn.Linear))
    pruner = torch_pruning.pruner.BasePruner(
        network,
        sample[:1],
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        iterative_steps=STEPS,
        ignored_layers=[output],
    )
    limit = share * multiply_adds(network, sample[:1])
    while multiply_adds(network, sample[:1]) > limit:
        if pruner.current_step == STEPS:
            raise RuntimeError(f"Torch-Pruning does not reach {share:.0%} of the multiply-adds.")
        pruner.step()
    found = to_keras(network, model)
    check_same(found, network, images)
    return found


def module(model):
    """Return a functional Keras model as a PyTorch module."""
    import torch
    from torch import nn

    class Network(nn.Module):
        """Calls layers by name, as the model does."""

        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict(
                {layer.name: part(layer) for layer in model.layers if layer.weights}
            )

        def forward(self, images):
            values = {model.inputs[0].name: images}
            for layer in model.layers[1:]:
                given = [values[tensor.name] for tensor in inputs_of(layer)]
                values[layer.output.name] = self.called(layer, given)
            return values[model.outputs[0].name]

        def called(self, layer, given):
            if isinstance(layer, layers.Rescaling):
                return given[0] * layer.scale + layer.offset
            if isinstance(layer, layers.ReLU):
                return torch.relu(given[0])
            if isinstance(layer, layers.Add):
                return given[0] + given[1]
            if isinstance(layer, layers.GlobalAveragePooling2D):
                return given[0].mean((2, 3))
            return self.parts[layer.name](given[0])

    def part(layer):
        """Return a layer with weights; Keras pads more at the end of an image with strides."""
        weights = [torch.from_numpy(np.array(weight)) for weight in layer.get_weights()]
        if isinstance(layer, layers.Conv2D):
            size, stride = layer.kernel_size[0], layer.strides[0]
            kernel = weights[0].permute(3, 2, 0, 1).contiguous()
            made = nn.Conv2d(kernel.shape[1], kernel.shape[0], size, stride, bias=False)
            made.weight = nn.Parameter(kernel)
            total = size - stride  # for sizes that the stride divides
            pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2)
            return nn.Sequential(pad, made)
        if isinstance(layer, layers.BatchNormalization):
            made = nn.BatchNorm2d(len(weights[0]), eps=layer.epsilon)
            made.weight, made.bias = nn.Parameter(weights[0]), nn.Parameter(weights[1])
            made.running_mean, made.running_var = weights[2:]
            return made
        made = nn.Linear(*weights[0].shape)
        made.weight = nn.Parameter(weights[0].T.contiguous())
        made.bias = nn.Parameter(weights[1])
        return made

    return Network()


def inputs_of(layer):
    return layer.input if isinstance(layer.input, list) else [layer.input]


def to_keras(network, model):
    """Return a Keras model with the sizes and weights of a pruned module that was made from one."""
    parts = network.parts

    def resized(layer):
        config = layer.get_config()
        if isinstance(layer, layers.Conv2D):
            config["filters"] = parts[layer.name][1].out_channels
        return type(layer).from_config(config)

    found = keras.models.clone_model(model, clone_function=resized)
    for layer in found.layers:
        if isinstance(layer, layers.Conv2D):
            kernel = parts[layer.name][1].weight.detach().numpy()
            layer.set_weights([kernel.transpose(2, 3, 1, 0)])
        elif isinstance(layer, layers.BatchNormalization):
            part = parts[layer.name]
            tensors = (part.weight, part.bias, part.running_mean, part.running_var)
            layer.set_weights([tensor.detach().numpy() for tensor in tensors])
        elif isinstance(layer, layers.Dense):
            part = parts[layer.name]
            layer.set_weights([part.weight.detach().numpy().T, part.bias.detach().numpy()])
    return found


def check_same(model, network, images):
    """Check that a model and a module compute the same.

    Raises:
        RuntimeError: If they do not.
    """
    import torch

    with torch.no_grad():
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    found = torch.softmax(logits, 1).numpy()
    change = np.abs(found - np.asarray(model(images, training=False))).max()
    if not change < TOLERANCE:
        raise RuntimeError(f"the same network in PyTorch computes something else: {change:.1e}.")


def multiply_adds(network, image):
    """Return the multiply-adds of the convolutions and Dense layers of a module for an image."""
    import torch

    counts = []

    def count(part, given, output):
        counts.append(part.weight[0].numel() * output[0].numel())

    kinds = torch.nn.Conv2d | torch.nn.Linear
    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return sum(counts)
