"""The abstract backend, and the abstract trainer and inference functions that it compiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lemonade_tf.architecture.regularization import NO_REGULARIZATION, Regularization
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.errors import LemonadeError

if TYPE_CHECKING:  # the driver of a search, which imports this for `BatchTransform`, has no Keras
    import keras

    from lemonade_tf.architecture.graph import Graph

Inputs = np.ndarray | list[np.ndarray]
JitCompile = Literal["auto", "always", "never"]
# Of multiplications in training; see `TrainingSettings`.
Precision = Literal["float32", "tf32", "bfloat16"]


class LiteError(LemonadeError):
    """LiteRT cannot convert or run a network."""


class Backend(ABC):
    """Sets up a process, builds models for training, and compiles what runs; stateless."""

    @abstractmethod
    def set_up(self, threads: int | None = None, strategy: str = "one_per_gpu") -> None:
        """Configure the process for training many small networks, before anything runs in it.

        From then on, the process computes as in `full_precision`, except in training steps.

        Args:
            threads: CPU threads per operation; by default one per core. Results depend on it in
                the last digits.
            strategy: "one_per_gpu" to train on one device; "mirrored" to train on all devices of
                the process at once, each with a part of every batch; "multi_worker" to do so on
                all devices of the machines in the environment variable TF_CONFIG, for which their
                processes wait here. The results differ in the last digits.

        Raises:
            RuntimeError: If the backend has already run with another number of threads or of
                devices.
            ValueError: If there is no such strategy.
        """

    @abstractmethod
    def full_precision(self) -> AbstractContextManager[None]:
        """Return a context in which a GPU multiplies float32 numbers without rounding them first.

        What promises to be exact requires it.
        """

    @abstractmethod
    def broadcast(self, content: bytes = b"") -> bytes:
        """Return the content that the chief passes, in the processes of all machines.

        Each process calls this as often as the others, in the same order relative to training. In
        a process without others, it returns the content.

        Args:
            content: Used in the chief only.
        """

    @abstractmethod
    def is_lost_machine(self, error: Exception) -> bool:
        """Return whether an exception reports that the process of another machine is gone."""

    @abstractmethod
    def place(self, array: np.ndarray) -> Any:
        """Copy an array to the device, or to each of the devices, on which models train.

        On a CPU, a memory-mapped file is not copied, so that all processes share its pages.
        """

    @abstractmethod
    def training_model(
        self,
        graph: Graph,
        seed: int | None = None,
        *,
        regularization: Regularization = NO_REGULARIZATION,
        num_steps: int = 0,
    ) -> keras.Model:
        """Build the model of a graph that `trainer` trains.

        It outputs logits, and the lambda of convex sums is a trainable weight.

        Args:
            graph: The network.
            seed: Random seed of dropout and of regularization.
            regularization: What acts on the branches of the network in training only.
            num_steps: How many steps are planned, for its schedule.
        """

    @abstractmethod
    def trainer(
        self,
        model: keras.Model,
        *,
        momentum: float,
        nesterov: bool = True,
        weight_decay: float,
        transform: BatchTransform = NO_AUGMENTATION,
        jit_compile: JitCompile = "auto",
        num_steps: int = 0,
        num_sharing: int = 1,
        precision: Precision = "float32",
    ) -> Trainer:
        """Return a trainer of the weights that are trainable now, with zero momenta.

        Args:
            model: What `training_model` built.
            momentum: Momentum, in [0, 1).
            nesterov: Whether the momentum is Nesterov's.
            weight_decay: Weight decay factor of kernels.
            transform: Transform of each batch, as part of the compiled step.
            jit_compile: Whether XLA compiles the training; see `TrainingSettings`.
            num_steps: How many steps are planned, for "auto".
            num_sharing: How many processes share the device, for "auto": while one trains, the
                others compile.
            precision: Of the multiplications in training steps. Weights and momenta are float32 in
                any precision, and so is everything else that runs the model.
        """

    @abstractmethod
    def forward(self, model: keras.Model) -> Forward:
        """Return the compiled inference function of a model."""

    @abstractmethod
    def fake_quantized(self, model: keras.Model, outputs: Collection[str]) -> keras.Model:
        """Return a model with the variables of another that rounds as int8 does.

        Args:
            model: A functional model of a graph.
            outputs: The names of the layers whose outputs are rounded, too.
        """

    @abstractmethod
    def inference_pass(self, graph: Graph, images: Inputs) -> Callable[[], Any]:
        """Return a function without arguments to time: one inference pass over a batch.

        It starts from raw pixels in the memory of the host, and returns the outputs there. It
        computes in the precision that users of a saved file get by default, on a GPU in TF32.

        Args:
            graph: The network, with weights.
            images: (batch, height, width, channels), raw pixels; a list for several inputs.
        """

    @abstractmethod
    def to_lite(
        self,
        network: Graph | keras.Model,
        *,
        logits: bool = False,
        quantize: Literal["int8", "float16"] | None = None,
        calibration: np.ndarray | None = None,
    ) -> bytes:
        """Convert a network to a .tflite file for one image at a time, and return its content.

        Args:
            network: A graph, or a model with one input and one output.
            logits: Whether to leave out the softmax at the end of a graph. In int8 a softmax has
                256 values, too few to distinguish many classes.
            quantize: "int8" for full integer quantization, with uint8 input and output; "float16"
                for weights in half precision.
            calibration: (n, height, width, channels), raw pixels of about a hundred training
                images or more, whose activations determine the ranges; required for int8.

        Raises:
            LiteError: If the network cannot be converted.
            ValueError: If `quantize` is unknown, or int8 gets no calibration images.
        """

    @abstractmethod
    def lite_model(self, content: bytes, *, threads: int = 1) -> LiteModel:
        """Load the content of a .tflite file for one image at a time.

        Args:
            content: What `to_lite` returned.
            threads: CPU threads per operation.

        Raises:
            LiteError: If LiteRT cannot run it.
        """

    @abstractmethod
    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an exception reports that host or device memory is exhausted."""


class Trainer(ABC):
    """Trains a model one epoch at a time; compiled once.

    Attributes:
        num_traces: How many times the step was traced.
        seconds_compiling: Seconds spent on tracing and compiling it.
        jit_compile: Whether XLA compiles it.
    """

    num_traces: int = 0
    seconds_compiling: float = 0.0
    jit_compile: bool = False

    @abstractmethod
    def compile(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
    ) -> None:
        """Compile the epoch for arguments like these, without taking a step.

        `run_epoch` does so itself, if nobody did. Calling this first separates compiling, which
        mostly uses the CPU, from training, which uses the device.

        Args:
            images: As in `run_epoch`; of the others, only shapes and types are used.
            targets: As in `run_epoch`.
            indices: As in `run_epoch`.
            learning_rates: As in `run_epoch`.
            draws: As in `run_epoch`.
        """

    def run_epoch(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
        num_steps: int | None = None,
    ) -> float:
        """Take one step of stochastic gradient descent per row of `indices`.

        The loss is the cross-entropy between the targets and the softmax of the model's outputs.
        The epoch may stop early when a loss is not finite.

        Args:
            images: (n, height, width, channels) on the device; or a list of the model's inputs,
                each (n, ...).
            targets: (n,) integer classes or (n, classes) probabilities, on the device.
            indices: (num_steps, batch_size) int32, the images of each step.
            learning_rates: (num_steps,) float32.
            draws: The random numbers of the batch transform, arrays (num_steps, ...).
            num_steps: Take only the first steps; by default, all. The first such call may compile
                once more, for any number.

        Returns:
            The mean loss of the steps; not finite if the loss of a step was not.
        """
        num_steps = len(indices) if num_steps is None else num_steps
        total = self.run_steps(images, targets, indices, learning_rates, draws, num_steps, 0.0)
        return total / num_steps

    @abstractmethod
    def run_steps(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
        num_steps: int,
        total: float,
    ) -> float:
        """Take steps that are a part of an epoch; see `run_epoch`.

        Args:
            images: As in `run_epoch`.
            targets: As in `run_epoch`.
            indices: As in `run_epoch`.
            learning_rates: As in `run_epoch`.
            draws: As in `run_epoch`.
            num_steps: Take only the first steps, without compiling for their number.
            total: The sum of the losses of the steps of the epoch so far.

        Returns:
            The sum of the losses, that of these steps included: bit for bit the same as if one call
            had taken all steps. It is not finite if the loss of a step was not.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Copy what steps change: weights, momenta, the generators of dropout."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned, for this model or another model of the same graph.

        Raises:
            ValueError: If it is the state of a different model.
        """


class Forward(ABC):
    """The inference function of a model, compiled once for batches of any size.

    Its inputs are images (batch, height, width, channels), or a list of the model's inputs.

    Attributes:
        num_traces: How many times it was traced.
    """

    num_traces: int = 0

    @abstractmethod
    def probabilities(self, images: Inputs) -> np.ndarray:
        """Return the softmax of the model's outputs: (batch, classes)."""

    @abstractmethod
    def outputs(self, images: Inputs) -> list[np.ndarray]:
        """Return the outputs of a model with one or several of them: each (batch, ...)."""


class LiteModel(ABC):
    """A network loaded into LiteRT; not thread-safe."""

    @abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (n, classes) for images (n, height, width, channels).

        Args:
            images: Raw pixels. For an int8 network they are quantized, and its outputs are
                converted back to floats.
        """

    @abstractmethod
    def inference_pass(self, image: np.ndarray) -> Callable[[], None]:
        """Return a function without arguments to time: one pass over an image.

        Args:
            image: (height, width, channels), of the dtype of the network's input.
        """

    @abstractmethod
    def as_input(self, image: np.ndarray) -> np.ndarray:
        """Return an image of raw pixels (height, width, channels) in the form of the input."""

    @abstractmethod
    def quantization(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """Return scale and zero point of the input, and those of the output."""
