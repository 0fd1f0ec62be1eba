"""A network as a Python file that builds it from stock Keras layers.

NAME.py defines `build_model()` and `load_model()`, and lists the classes; the weights lie beside it
in NAME.weights.h5. It needs Keras, and nothing of this package: read it, change it, train on.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Sequence
from keyword import iskeyword
from typing import Any

import keras

from lemonade_tf.export.formats import ExportError

# Arguments that do not matter once the weights are loaded, or that are Keras's own defaults.
_SKIPPED = ("name", "trainable", "dtype", "build_config")
_SKIPPED_ENDS = ("_initializer", "_regularizer", "_constraint")


def python_source(model: keras.Model, class_names: Sequence[str], description: str) -> str:
    """Return the text of the Python file of a functional model whose layers are called once.

    Args:
        model: The model.
        class_names: The names of the classes, in the order of the outputs; may be empty.
        description: What the network takes and returns, for the docstring.

    Raises:
        ExportError: If a layer is not one of Keras.
    """
    variables: dict[int, str] = {}
    lines = []
    for operation in model.operations:
        [node] = operation._inbound_nodes
        name = _variable(operation.name, set(variables.values()))
        arguments = [variables[id(tensor)] for tensor in node.input_tensors]
        for tensor in node.output_tensors:
            variables[id(tensor)] = name
        if isinstance(operation, keras.layers.InputLayer):
            call = f"keras.Input({tuple(operation.batch_shape[1:])!r}, name={operation.name!r})"
        else:
            given = arguments[0] if len(arguments) == 1 else f"[{', '.join(arguments)}]"
            call = f"{_layer(operation)}({given})"
        lines.append(f"    {name} = {call}")
    ends = [variables[id(tensors[0])] for tensors in (model.inputs, model.outputs)]
    body = "\n".join(lines)
    names = "".join(f"\n    {each!r}," for each in class_names) + "\n" * bool(class_names)
    return (
        f'"""{_docstring(description)}"""\n\nfrom pathlib import Path\n\nimport keras\n\n'
        f"CLASS_NAMES = [{names}]\n\n\n"
        f'def build_model():\n    """Return the network with new weights."""\n{body}\n'
        f"    return keras.Model({ends[0]}, {ends[1]}, name={model.name!r})\n\n\n"
        "def load_model(weights=None):\n"
        '    """Return the network with its trained weights, by default those next to it."""\n'
        "    model = build_model()\n"
        '    model.load_weights(weights or Path(__file__).with_suffix(".weights.h5"))\n'
        "    return model\n"
    )


def _docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''").rstrip() + "\n"


def _variable(name: str, taken: set[str]) -> str:
    """Return a Python identifier for a layer that is not taken yet."""
    plain = re.sub(r"\W+", "_", name)
    is_free = plain.isidentifier() and plain not in ("keras", "Path") and not iskeyword(plain)
    plain = plain if is_free and not hasattr(builtins, plain) else f"layer_{plain}"
    while plain in taken:
        plain += "_"
    return plain


def _layer(layer: Any) -> str:
    """Return the expression that makes a layer, without arguments that have their default."""
    kind = type(layer)
    if getattr(keras.layers, kind.__name__, None) is not kind:
        raise ExportError(
            f"the layer {layer.name!r} is a {kind.__name__}, which is not a layer of keras.layers;"
            " the format python supports these only. Use --format h5."
        )
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
    }
    given = [
        f"{name}={value!r}"
        for name, value in layer.get_config().items()
        if name not in _SKIPPED
        and not name.endswith(_SKIPPED_ENDS)
        and name in defaults
        and not _is_default(value, defaults[name])
    ]
    return f"keras.layers.{kind.__name__}({', '.join([*given, f'name={layer.name!r}'])})"


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(value, list | tuple):
        if isinstance(default, int) and not isinstance(default, bool):
            return all(each == default for each in value)
        return isinstance(default, list | tuple) and tuple(value) == tuple(default)
    if value in ("linear", "channels_last") and default is None:
        return True
    return value is default or (type(value) is type(default) and value == default)
