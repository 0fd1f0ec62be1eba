"""How networks are trained from scratch, by the name of a recipe.

`paper` is that of A.4.4, for CIFAR: "All models are trained from scratch on the training and
validation set with the same setup [as in the search] except for 1) we train for 600 epochs and 2)
the initial learning rate is set to 0.025." The augmentation is that of the search.

`imagenet64` is that of Chrabaszcz et al. (2017), which the paper uses on ImageNet64x64 (A.4.5: "The
training setup on ImageNet64x64 is identical to Chrabaszcz et al. (2017)"). The values are those of
their code, WRNs_imagenet.py, at https://github.com/PatrykChrabaszcz/Imagenet32_Scripts (commit
108b120):

    num_epochs = 40, E1 = 10, E2 = 20, E3 = 30, lr_fac = 0.2, --learning_rate 0.01
                          40 epochs; the learning rate, 0.01, is divided by 5 every 10 epochs
    batchsize = 128
    lasagne.updates.momentum(..., momentum=0.9)
                          plain momentum, not Nesterov's (which is `nesterov_momentum` in Lasagne)
    --decay 0.0005, l2_penalty = regularize_layer_params(all_layers, l2) * reg_fac
                          `l2` is the sum of squares, so the gradient has 2 * 0.0005 * kernel, which
                          is a weight decay of 0.001 as defined here
    np.pad(inputs, ..., (4, 4), (4, 4)), crops at random_integers(0, high=8)
                          crops after padding by 4, for images of any size
    X_train_flip = X_train[:, :, :, ::-1]
                          flips; neither Cutout nor mixup

Three things differ. An epoch of theirs passes over each image and over its mirror image, one of
this package over each image, mirrored with probability 1/2; so `--epochs 80 --decay_epochs 20`
takes as many steps as they did. They subtract the mean image and divide by 255, networks here
standardize each channel. Their penalty includes the scales of batch normalizations (`gamma`, which
Lasagne's layer declares as regularizable); here only kernels decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from lemonade_tf.training.settings import TrainingSettings

Recipe = Literal["paper", "imagenet64"]

RECIPES: Mapping[str, TrainingSettings] = {
    "paper": TrainingSettings(epochs=600, learning_rate=0.025),
    "imagenet64": TrainingSettings(
        epochs=40,
        batch_size=128,
        learning_rate=0.01,
        schedule="step",
        decay_epochs=10,
        decay_factor=0.2,
        momentum=0.9,
        nesterov=False,
        weight_decay=0.001,
        pad=4,
        flip=True,
        cutout=0,
        mixup=0.0,
    ),
}
AUGMENTATION = ("pad", "flip", "cutout", "mixup")
OF_THE_SEARCH = ("paper",)  # recipes with the augmentation of the search
