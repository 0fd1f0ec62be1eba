"""The formats that networks are exported to, and the packages that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from lemonade_tf.errors import LemonadeError, did_you_mean

NONE, FLOAT16, INT8 = "none", "float16", "int8"
QUANTIZATIONS = (NONE, FLOAT16, INT8)


class ExportError(LemonadeError):
    """A network cannot be exported, or an exported file does not compute what it should."""


@dataclass(frozen=True)
class Format:
    """A format of files of networks.

    Attributes:
        name: Its name.
        suffix: The end of the name of its file; of a folder if `is_folder`.
        runtime: What runs it, in words.
        packages: The optional packages that write and run it.
        default_quantize: How it is quantized unless stated; None if it cannot be.
        is_folder: Whether it is a folder.
        space: The space that its files need at most, relative to the weights in float32.
    """

    name: str
    suffix: str
    runtime: str
    packages: tuple[str, ...] = ()
    default_quantize: str | None = None
    is_folder: bool = False
    space: float = 2.0

    def quantize(self, given: str | None) -> str:
        """Return how the format is to be quantized: "none", "float16" or "int8".

        Raises:
            ExportError: If it cannot be quantized like that.
        """
        if given is not None and given not in QUANTIZATIONS:
            near = did_you_mean(str(given), QUANTIZATIONS)
            raise ExportError(
                f"--quantize is {given!r}; expected one of {', '.join(QUANTIZATIONS)}{near or '.'}"
            )
        if self.default_quantize is None and given not in (None, NONE):
            quantized = [each.name for each in FORMATS.values() if each.default_quantize]
            raise ExportError(
                f"--quantize {given} has no effect on the format {self.name}; omit it, or use"
                f" --format {' or '.join(quantized)}."
            )
        return given or self.default_quantize or NONE

    def missing_packages(self) -> list[str]:
        """Return the names of the packages that are not installed, as pip knows them."""
        return [name.replace("_", "-") for name in self.packages if find_spec(name) is None]

    def check_packages(self) -> None:
        """Check that the packages of the format are installed.

        Raises:
            ExportError: If one is not.
        """
        missing = self.missing_packages()
        if missing:
            raise ExportError(
                f"the format {self.name} needs {', '.join(missing)}, which"
                f" {'is' if len(missing) == 1 else 'are'} not installed; run"
                f" pip install {' '.join(missing)}"
            )


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("keras", ".keras", "Keras"),
        Format("h5", ".h5", "Keras"),
        Format("saved_model", ".saved_model", "TensorFlow", is_folder=True, space=3.0),
        Format("tflite", ".tflite", "LiteRT", default_quantize=NONE),
        Format("onnx", ".onnx", "ONNX Runtime", ("tf2onnx", "onnx", "onnxruntime")),
        Format("openvino", ".xml", "OpenVINO", ("openvino",)),
        Format("c", ".c", "LiteRT", default_quantize=INT8, space=6.0),
        Format("python", ".py", "Python"),
    )
}


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        ExportError: If there is none.
    """
    if name not in FORMATS:
        near = did_you_mean(str(name), FORMATS)
        raise ExportError(
            f"--format is {name!r}; expected one of {', '.join(FORMATS)}{near or '.'}"
        )
    return FORMATS[name]
