"""The paper's data augmentation: crop, flip, Cutout and mixup, each drawn per image (A.4.4).

The paper follows Loshchilov & Hutter (2017) in crop and flip, and adds Cutout and mixup. Of an
image x of height x width pixels:

1. crop: pad `pad` pixels on every side with the colour `fill`, and take a window of the size of
   the image at one of the (2 * pad + 1) ** 2 places there are;
2. flip: mirror it left to right, with probability 1/2;
3. Cutout: give a square of cutout x cutout pixels the colour `fill`. Its centre is any pixel of
   the image, so part of it may lie outside. It has the rows from centre - cutout // 2 on, cutout
   of them, and so the columns;
4. mixup: with lambda ~ Beta(mixup, mixup) and a partner of the same batch, which went through
   1 to 3 with random numbers of its own,

       x <- lambda * x + (1 - lambda) * x_partner
       y <- lambda * y + (1 - lambda) * y_partner

   lambda is drawn for each image; the program of Zhang et al. draws one for a batch.

The order matters. Cutout comes after the crop: as its authors have it, the centre of the hole is
uniform over what the network sees, and no crop moves the hole out of sight. Mixup comes last: each
image has a crop, a flip and a hole of its own, and the partner shows through the hole; a hole cut
into the mixture would take the same pixels from both, and leave a mixture with no picture in it at
all where the hole is.

The colour is the mean of the training images: networks take raw pixels and begin with the
`Rescaling` that brings it to 0, so this is the zero padding and the zero hole of those who
normalize first. (Loshchilov & Hutter write that Zagoruyko & Komodakis (2016), whose set-up they
take over, pad with reflections; in the program of Loshchilov & Hutter, as here, it is zeros after
subtraction of the mean.)

Crop, flip and Cutout are one gather from a list of all pixels of the batch with `fill` after the
last: output pixel (i, j) is input pixel (i + row - pad, j' + column - pad), j' being j or its
mirror, or else `fill`.

Distillation: the teacher has to see the images that the student sees, so its probabilities cannot
be computed once for all epochs. What `prepare` returns as images depends on images and draws only:
prepare the images first, then take as targets what the teacher says to them, and leave what
`prepare` returned as targets. Those are not to be mixed again: the teacher saw the mixture.
(Probabilities given as targets are mixed as classes are, which is right for labels that are
probabilities: smoothed ones, or a teacher's for the images as they were.)

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

from lemonade_tf.training.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lemonade_tf.datasets.dataset import Dataset


@dataclass(frozen=True)
class Augmentation(BatchTransform):
    """Crops, flips, cuts out and mixes; the defaults are those for CIFAR-10.

    A value that can be made, compared and pickled in a process without Keras.

    Attributes:
        input_shape: (height, width, channels) of the images.
        num_classes: Classes of the targets.
        fill: (channels,) raw pixels, the colour of padding and holes: the one that the network's
            `Rescaling` brings to 0.
        pad: Pixels on every side for the crop to move by; 0 for no crop.
        flip: Whether images are mirrored, one in two.
        cutout: Side of the hole in pixels; 0 for none. Its authors have 16 for CIFAR-10, and 8 for
            CIFAR-100.
        mixup: Both parameters of the Beta distribution; 0 for no mixup. 1.0, the value of its
            authors for CIFAR, is the uniform distribution.
    """

    input_shape: tuple[int, int, int]
    num_classes: int
    fill: tuple[float, ...]
    pad: int = TrainingSettings.pad
    flip: bool = TrainingSettings.flip
    cutout: int = TrainingSettings.cutout
    mixup: float = TrainingSettings.mixup

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "fill", tuple(map(float, self.fill)))
        shape = self.input_shape
        whole = len(shape) == 3 and all(isinstance(n, int) and n >= 1 for n in shape)
        self._require("input_shape", whole, "the (height, width, channels) of an image")
        self._require("num_classes", self._whole("num_classes", 1), "a positive integer")
        colour = len(self.fill) == shape[2] and all(map(isfinite, self.fill))
        self._require("fill", colour, f"a number for each of the {shape[2]} channels")
        side = min(shape[:2])
        of = f"the shorter side of images of {shape}"
        fits = self._whole("pad", 0) and self.pad < side
        self._require("pad", fits, f"0 (no crop) or an integer less than {side}, {of}")
        fits = self._whole("cutout", 0) and self.cutout <= side
        self._require("cutout", fits, f"0 (no hole) or an integer up to {side}, {of}")
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
        """Return the augmentation for a data set, its fill the mean of the training images.

        Args:
            dataset: Whose images are to be augmented.
            **settings: pad, flip, cutout, mixup.
        """
        rescaling = dataset.rescaling()
        fill = -np.asarray(rescaling.offset) / np.asarray(rescaling.scale)
        return cls(dataset.input_shape, dataset.num_classes, tuple(fill), **settings)

    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Return the random numbers of an epoch, those of the parts that are on.

        Integers are int64: TensorFlow has no gather of smaller ones on a GPU, and computes with
        int32 on the host even there. They are 2 MB for 45,000 images.

        Returns:
            offset: (num_steps, batch_size, 2) int64, row and column where the crop begins, in the
                padded image: 0 to 2 * pad.
            flipped: (num_steps, batch_size) bool, whether to mirror.
            centre: (num_steps, batch_size, 2) int64, row and column of the centre of the hole.
            share: (num_steps, batch_size) float32, what the image itself has in the mixture.
            partner: (num_steps, batch_size) int64, the place in the batch of the image it is mixed
                with; each image is the partner of one.
        """
        each = (num_steps, batch_size)
        draws: dict[str, np.ndarray] = {}
        if self.pad:
            draws["offset"] = rng.integers(0, 2 * self.pad, (*each, 2), endpoint=True)
        if self.flip:
            draws["flipped"] = rng.integers(0, 2, each, dtype=bool)
        if self.cutout:
            draws["centre"] = rng.integers(0, self.input_shape[:2], (*each, 2))
        if self.mixup:
            draws["share"] = rng.beta(self.mixup, self.mixup, each).astype(np.float32)
            draws["partner"] = rng.permuted(np.tile(np.arange(batch_size), (num_steps, 1)), axis=1)
        return draws

    def prepare(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the augmented images, and the targets; with mixup these are probabilities.

        Args:
            images: (batch, height, width, channels), raw pixels of any type.
            targets: (batch,) integer classes or (batch, classes) probabilities.
            draws: The random numbers of this step: the arrays of `draw`, without the first axis.

        Returns:
            (batch, height, width, channels) float32, raw pixels; and (batch, classes) float32
            probabilities with mixup, otherwise the targets as they are.

        Raises:
            ValueError: The images are not of `input_shape`, or the targets not of `num_classes`.
        """
        from keras import ops  # Not above: a process that only makes the value has no backend.

        self._check(images, targets)
        images = ops.cast(images, "float32")
        if self.pad or self.flip or self.cutout:
            images = self._move(images, draws)
        if self.mixup:
            share, partner = draws["share"], draws["partner"]
            if len(targets.shape) == 1:
                targets = ops.one_hot(targets, self.num_classes)
            images = _mix(images, share, partner)
            targets = _mix(ops.cast(targets, "float32"), share, partner)
        return images, targets

    def _check(self, images: Any, targets: Any) -> None:
        shape = tuple(images.shape[1:])
        if shape != self.input_shape:
            raise ValueError(
                f"the images to augment are of {shape}; expected {self.input_shape}, the"
                " input_shape of the augmentation."
            )
        if len(targets.shape) == 2 and targets.shape[1] != self.num_classes:
            raise ValueError(
                f"the targets are probabilities of {targets.shape[1]} classes; expected"
                f" {self.num_classes}, the num_classes of the augmentation."
            )

    def _move(self, images: Any, draws: Mapping[str, Any]) -> Any:
        """Crop, flip and cut out: one gather of pixels."""
        from keras import ops

        batch = ops.shape(images)[0]
        height, width, channels = self.input_shape
        # Images, rows and columns of the output, along axes 0, 1 and 2. Of NumPy's integers comes
        # int64, as the draws are, or int32 on a backend that has no int64.
        i = ops.convert_to_tensor(np.arange(height)[:, None])
        j = ops.convert_to_tensor(np.arange(width)[None, :])
        image = ops.arange(batch, dtype=i.dtype)[:, None, None]
        row, column, visible = i, j, True
        if self.flip:
            column = ops.where(draws["flipped"][:, None, None], width - 1 - j, j)
        if self.pad:
            offset = draws["offset"][:, :, None, None]
            row, column = row + offset[:, 0] - self.pad, column + offset[:, 1] - self.pad
            visible = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if self.cutout:
            first = draws["centre"][:, :, None, None] - self.cutout // 2
            down, across = i - first[:, 0], j - first[:, 1]
            in_rows = (down >= 0) & (down < self.cutout)
            in_columns = (across >= 0) & (across < self.cutout)
            visible = ~(in_rows & in_columns) & visible
        source = (image * height + row) * width + column
        if self.pad or self.cutout:
            source = ops.where(visible, source, batch * height * width)
        pixels = ops.reshape(images, (-1, channels))
        fill = ops.convert_to_tensor([self.fill], dtype="float32")
        return ops.take(ops.concatenate([pixels, fill]), source, axis=0)


def _mix(values: Any, share: Any, partner: Any) -> Any:
    """Return share * values + (1 - share) * values of the partners, of shape (batch, ...)."""
    from keras import ops

    share = ops.reshape(share, (-1,) + (1,) * (len(values.shape) - 1))
    return share * values + (1 - share) * ops.take(values, partner, axis=0)


def preparation_for(data: Dataset, settings: TrainingSettings) -> BatchTransform:
    """Return what happens to a batch first: the augmentation that the settings ask for.

    Raises:
        ValueError: It does not fit the images.
    """
    parts = {name: getattr(settings, name) for name in ("pad", "flip", "cutout", "mixup")}
    return Augmentation.for_dataset(data, **parts) if any(parts.values()) else NO_AUGMENTATION
