"""TensorFlow as a backend."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.regularization import NO_REGULARIZATION, Regularization
from lemonade_tf.backends.base import Backend, Inputs, JitCompile, Precision
from lemonade_tf.backends.batch_normalization_tensorflow import FusedBatchNormalization
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.backends.compilation import CompilationCosts
from lemonade_tf.backends.fake_quantization_tensorflow import fake_quantized
from lemonade_tf.backends.inference_tensorflow import TensorFlowForward, inference_pass
from lemonade_tf.backends.lite_tensorflow import LiteRTModel, to_lite
from lemonade_tf.backends.mapped_tensorflow import tensor_in_file
from lemonade_tf.backends.mirrored_training_tensorflow import MirroredTrainer
from lemonade_tf.backends.precision_tensorflow import tensor_float_32
from lemonade_tf.backends.replicas_tensorflow import ReplicatedArray, broadcast, replicate
from lemonade_tf.backends.strategy_tensorflow import current_replicas, set_up_replicas
from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.keras_bridge.keras_defaults import set_keras_defaults

# In lower case. cuDNN, cuBLAS and XLA report exhausted memory with errors of various types.
_OUT_OF_MEMORY_MESSAGES = (
    "out of memory",
    "out_of_memory",
    "resource_exhausted",
    "alloc_failed",
    "failed to allocate",
    "dst tensor is not initialized",
)

_LOST_MACHINE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
_COSTS = CompilationCosts()  # measured in this process


class TensorFlowBackend(Backend):
    """Trains and runs models on TensorFlow; see `Backend`."""

    def set_up(self, threads: int | None = None, strategy: str = "one_per_gpu") -> None:
        """Set the number of threads and turn off graph rewriting and TF32; see `Backend.set_up`."""
        set_keras_defaults()
        _set_up_threads(threads)
        set_up_replicas(strategy)

    def full_precision(self) -> AbstractContextManager[None]:
        """Return a context without TF32; see `Backend.full_precision`."""
        return tensor_float_32(False)

    def broadcast(self, content: bytes = b"") -> bytes:
        """Return the content that the chief passes; see `Backend.broadcast`."""
        replicas = current_replicas()
        return content if replicas is None else broadcast(content, replicas)

    def is_lost_machine(self, error: Exception) -> bool:
        """Return whether an exception reports that another process is gone."""
        return isinstance(error, _LOST_MACHINE)

    def place(self, array: np.ndarray) -> tf.Tensor | tf.Variable | ReplicatedArray:
        """Copy an array to the device, or to each device; on a CPU, use a mapped file as it is."""
        replicas = current_replicas()
        if replicas is not None:
            return replicate(array, replicas)
        if not tf.config.list_logical_devices("GPU"):
            shared = tensor_in_file(array)
            if shared is not None:
                return shared
        # A GPU has no kernel that gathers from a tensor of bytes, but one that gathers from a
        # variable of bytes.
        if array.dtype == np.uint8:
            return tf.Variable(array, trainable=False)  # pyright: ignore[reportArgumentType] (stub)
        return tf.constant(array)

    def training_model(
        self,
        graph: Graph,
        seed: int | None = None,
        *,
        regularization: Regularization = NO_REGULARIZATION,
        num_steps: int = 0,
    ) -> keras.Model:
        """Build a model whose batch normalizations are fused; see `Backend.training_model`."""
        replicas = current_replicas()
        with nullcontext() if replicas is None else replicas.scope():
            return to_keras(
                graph,
                learnable=True,
                logits=True,
                batch_normalization=FusedBatchNormalization,
                seed=seed,
                layer_per_node=True,
                regularization=regularization,
                num_steps=num_steps,
            )

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
    ) -> TensorFlowTrainer | MirroredTrainer:
        """Return a trainer of the weights that are trainable now; see `Backend.trainer`."""
        replicas = current_replicas()
        if replicas is not None:
            return MirroredTrainer(
                model,
                momentum,
                weight_decay,
                transform,
                replicas,
                precision=precision,
                nesterov=nesterov,
            )
        if jit_compile == "auto":  # on a CPU, steps compiled by XLA are no faster
            has_gpu = bool(tf.config.list_logical_devices("GPU"))
            by_xla = has_gpu and _COSTS.xla_pays(model, num_steps, num_sharing)
        else:
            by_xla = jit_compile == "always"
        return TensorFlowTrainer(
            model,
            momentum,
            weight_decay,
            transform,
            jit_compile=by_xla,
            costs=_COSTS,
            precision=precision,
            nesterov=nesterov,
        )

    def forward(self, model: keras.Model) -> TensorFlowForward:
        """Return the compiled inference function of a model."""
        return TensorFlowForward(model)

    def fake_quantized(self, model: keras.Model, outputs: Collection[str]) -> keras.Model:
        """Return a model that rounds as int8 does; see `Backend.fake_quantized`."""
        return fake_quantized(model, outputs)

    def inference_pass(self, graph: Graph, images: Inputs) -> Callable[[], Any]:
        """Return an inference pass over a batch, to time; see `Backend.inference_pass`."""
        return inference_pass(to_keras(graph), images)

    def to_lite(
        self,
        network: Graph | keras.Model,
        *,
        logits: bool = False,
        quantize: Literal["int8", "float16"] | None = None,
        calibration: np.ndarray | None = None,
    ) -> bytes:
        """Convert a network to the content of a .tflite file; see `Backend.to_lite`."""
        return to_lite(network, logits=logits, quantize=quantize, calibration=calibration)

    def lite_model(self, content: bytes, *, threads: int = 1) -> LiteRTModel:
        """Load the content of a .tflite file; see `Backend.lite_model`."""
        return LiteRTModel(content, threads=threads)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an exception reports that host or device memory is exhausted."""
        if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
            return True
        text = str(error).lower()
        return isinstance(error, tf.errors.OpError) and any(
            message in text for message in _OUT_OF_MEMORY_MESSAGES
        )


def _set_up_threads(threads: int | None) -> None:
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # Graph rewriting (Grappler) takes a large part of the time of a child's first step, and
    # hardly makes the other steps faster.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if threads is None or tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise RuntimeError(
            f"threads is {threads}, but TensorFlow has already run in this process with another"
            " number; set up workers in a process in which nothing has run yet."
        ) from error
