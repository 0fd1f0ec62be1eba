"""The paper's data augmentation: crop, flip, Cutout and mixup, drawn per image (A.4.4).

The paper follows Loshchilov & Hutter (2017) in crop and flip, and adds Cutout and mixup. For an
image x of height x width pixels:

1. crop: pad `pad` pixels on each side with the color `fill`, and take a window of the size of the
   image at one of the (2 * pad + 1) ** 2 positions;
2. flip: mirror it left to right with probability 1/2;
3. Cutout: set a square of cutout x cutout pixels to `fill`. Its center is any pixel of the image,
   so part of the square may lie outside. It covers `cutout` rows from center - cutout // 2 on, and
   columns likewise;
4. mixup: with lambda ~ Beta(mixup, mixup) and a partner from the same batch, which went through
   steps 1 to 3 with its own random numbers,

       x <- lambda * x + (1 - lambda) * x_partner
       y <- lambda * y + (1 - lambda) * y_partner

   lambda is drawn per image; the code of Zhang et al. draws it per batch.

The order matters. Cutout follows the crop: as its authors intend, the center of the square is
uniform over what the network sees, and no crop moves the square out of sight. Mixup comes last:
each image has its own crop, flip and square, and the partner is visible through the square. A
square cut out of the mixture would erase the same pixels of both images.

The color is the mean of the training images. Networks take raw pixels and start with a `Rescaling`
that maps this color to 0, so it corresponds to the zero padding and the zero square of those who
normalize images first. (Loshchilov & Hutter write that Zagoruyko & Komodakis (2016), whose set-up
they use, pad with reflections; the code of Loshchilov & Hutter pads with zeros after subtracting
the mean, as here.)

Crop, flip and Cutout are a single gather from a list of all pixels of the batch followed by `fill`:
output pixel (i, j) is input pixel (i + row - pad, j' + column - pad), where j' is j or its mirror
image, or else `fill`.

Distillation with augmentation would need the teacher to see the images that the student sees, so
that its probabilities could not be computed once for all epochs. The images that `apply` returns
depend on images and draws only. So transform the images, take the teacher's probabilities for them
as targets, and ignore the targets that `apply` returned: the teacher has seen the mixture already.
(Probabilities given as targets are mixed like classes. This is right for labels that are
probabilities: smoothed labels, or a teacher's for the original images.)

References:
    Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, 4.1.
    DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lemonade_tf.datasets.dataset import Dataset


@dataclass(frozen=True)
class Augmentation(BatchTransform):
    """Applies crop, flip, Cutout and mixup.

    It can be created, compared and pickled in a process without Keras.

    Attributes:
        input_shape: (height, width, channels) of the images.
        num_classes: Classes of the targets.
        fill: (channels,) raw pixels, the color of padding and squares: the one that the network's
            `Rescaling` maps to 0.
        pad: As in `TrainingSettings`, but never None.
        cutout: As in `TrainingSettings`, but never None.
        flip: As in `TrainingSettings`.
        mixup: As in `TrainingSettings`.

    Raises:
        ValueError: If a value is out of range or does not fit the images.
    """

    input_shape: tuple[int, int, int]
    num_classes: int
    fill: tuple[float, ...]
    pad: int
    cutout: int
    flip: bool = TrainingSettings.flip
    mixup: float = TrainingSettings.mixup

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "fill", tuple(map(float, self.fill)))
        shape = self.input_shape
        whole = len(shape) == 3 and all(isinstance(n, int) and n >= 1 for n in shape)
        self._require("input_shape", whole, "the (height, width, channels) of an image")
        self._require("num_classes", self._whole("num_classes", 1), "a positive integer")
        is_color = len(self.fill) == shape[2] and all(map(isfinite, self.fill))
        self._require("fill", is_color, f"one number per channel, {shape[2]}")
        side = min(shape[:2])
        shorter = f"{side}, the shorter side of images of shape {shape}"
        fits = self._whole("pad", 0) and self.pad < side
        self._require("pad", fits, f"0 (no crop) or an integer less than {shorter}")
        fits = self._whole("cutout", 0) and self.cutout <= side
        self._require("cutout", fits, f"0 (no Cutout) or an integer up to {shorter}")
        positive = isfinite(self.mixup) and self.mixup >= 0
        self._require("mixup", positive, "0 (no mixup) or a positive number")

    def _whole(self, name: str, least: int) -> bool:
        value = getattr(self, name)
        return isinstance(value, int) and value >= least

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; expected {expected}.")

    @classmethod
    def for_dataset(cls, dataset: Dataset, **settings: Any) -> Augmentation:
        """Return the augmentation of a data set; its fill is the mean of the training images.

        Args:
            dataset: The data set.
            **settings: pad, flip, cutout, mixup; by default as in `TrainingSettings`.
        """
        settings = _parts(TrainingSettings(**settings), dataset)
        rescaling = dataset.rescaling()
        fill = -np.asarray(rescaling.offset) / np.asarray(rescaling.scale)
        return cls(dataset.input_shape, dataset.num_classes, tuple(fill), **settings)

    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Draw the random numbers of an epoch, for the parts that are on.

        Integers are int64: on a GPU, TensorFlow has no gather by smaller integers, and computes
        int32 on the host. They take 2 MB for 45,000 images.

        Returns:
            offset: (num_steps, batch_size, 2) int64, row and column of the crop in the padded
                image: 0 to 2 * pad.
            flipped: (num_steps, batch_size) bool, whether to mirror.
            center: (num_steps, batch_size, 2) int64, row and column of the center of the square.
            share: (num_steps, batch_size) float32, lambda, the weight of the image itself.
            partner: (num_steps, batch_size) int64, the position in the batch of the image that it
                is mixed with; a permutation of each batch.
        """
        each = (num_steps, batch_size)
        draws: dict[str, np.ndarray] = {}
        if self.pad:
            draws["offset"] = rng.integers(0, 2 * self.pad, (*each, 2), endpoint=True)
        if self.flip:
            draws["flipped"] = rng.integers(0, 2, each, dtype=bool)
        if self.cutout:
            draws["center"] = rng.integers(0, self.input_shape[:2], (*each, 2))
        if self.mixup:
            draws["share"] = rng.beta(self.mixup, self.mixup, each).astype(np.float32)
            draws["partner"] = rng.permuted(np.tile(np.arange(batch_size), (num_steps, 1)), axis=1)
        return draws

    def apply(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Augment images; with mixup, also turn the targets into probabilities.

        Args:
            images: (batch, height, width, channels), raw pixels of any dtype.
            targets: (batch,) integer classes or (batch, classes) probabilities.
            draws: The random numbers of this step: the arrays of `draw` without the first axis.

        Returns:
            (batch, height, width, channels) float32, raw pixels; and (batch, classes) float32
            probabilities with mixup, else the unchanged targets.

        Raises:
            ValueError: If the images do not have `input_shape`, or probabilities `num_classes`.
        """
        from keras import ops  # the driver, which only makes the value, has no Keras

        self._check(images, targets)
        floats: Any = ops.cast(images, "float32")
        if self.pad or self.flip or self.cutout:
            floats = self._move(floats, draws)
        if self.mixup:
            share, partner = draws["share"], draws["partner"]
            if len(targets.shape) == 1:
                targets = ops.one_hot(targets, self.num_classes)
            floats = _mix(floats, share, partner)
            targets = _mix(ops.cast(targets, "float32"), share, partner)
        return floats, targets

    def _check(self, images: Any, targets: Any) -> None:
        shape = tuple(images.shape[1:])
        if shape != self.input_shape:
            raise ValueError(
                f"the images to augment have shape {shape}; expected {self.input_shape}, the"
                " input_shape of the augmentation."
            )
        if len(targets.shape) == 2 and targets.shape[1] != self.num_classes:
            raise ValueError(
                f"the targets are probabilities of {targets.shape[1]} classes; expected"
                f" {self.num_classes}, the num_classes of the augmentation."
            )

    def _move(self, images: Any, draws: Mapping[str, Any]) -> Any:
        """Crop, flip and cut out with a single gather of pixels."""
        from keras import ops

        batch: Any = ops.shape(images)[0]  # pyright: ignore[reportOptionalSubscript] (no shape is None)
        height, width, channels = self.input_shape
        # Indices of rows, columns and images along axes 1, 2 and 0 of the output. From NumPy's
        # int64 they become int64, like the draws, or int32 on a backend without int64.
        i: Any = ops.convert_to_tensor(np.arange(height)[:, None])
        j: Any = ops.convert_to_tensor(np.arange(width)[None, :])
        image: Any = ops.arange(batch, dtype=i.dtype)
        row, column, visible = i, j, True
        if self.flip:
            column = ops.where(draws["flipped"][:, None, None], width - 1 - j, j)
        if self.pad:
            offset = draws["offset"][:, :, None, None]
            row, column = row + offset[:, 0] - self.pad, column + offset[:, 1] - self.pad
            visible = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if self.cutout:
            # In coordinates of the output: the square is where the network sees it.
            first = draws["center"][:, :, None, None] - self.cutout // 2
            down, right = i - first[:, 0], j - first[:, 1]
            in_rows = (down >= 0) & (down < self.cutout)
            in_columns = (right >= 0) & (right < self.cutout)
            visible = ~(in_rows & in_columns) & visible
        source = (image[:, None, None] * height + row) * width + column
        if self.pad or self.cutout:
            # The row after the last pixel of the batch is `fill`.
            source = ops.where(visible, source, batch * height * width)
        pixels = ops.reshape(images, (-1, channels))
        fill = ops.convert_to_tensor([self.fill], dtype="float32")
        return ops.take(ops.concatenate([pixels, fill]), source, axis=0)


def _mix(values: Any, share: Any, partner: Any) -> Any:
    """Return share * values + (1 - share) * values of the partners, of shape (batch, ...)."""
    from keras import ops

    share = ops.reshape(share, (-1,) + (1,) * (len(values.shape) - 1))
    return share * values + (1 - share) * ops.take(values, partner, axis=0)


def augmentation_for(data: Dataset, settings: TrainingSettings) -> BatchTransform:
    """Return the augmentation that the settings request.

    Raises:
        ValueError: If it does not fit the images.
    """
    parts = _parts(settings, data)
    return Augmentation.for_dataset(data, **parts) if any(parts.values()) else NO_AUGMENTATION


def _parts(settings: TrainingSettings, data: Dataset) -> dict[str, Any]:
    settings = settings.for_images(data.input_shape)
    return {name: getattr(settings, name) for name in ("pad", "flip", "cutout", "mixup")}
