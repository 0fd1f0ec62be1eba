"""The settings of each subcommand in the groups in which --help lists them."""

from __future__ import annotations

from lemonade_tf.config import TRAINING

SEARCH_GROUPS = {
    "data": ("dataset", "image_size", "training_images", "data_dir", "cache_dir"),
    "budget": (
        "minutes",
        "num_generations",
        "num_proposed",
        "num_accepted",
        "max_hours",
        "max_child_hours",
    ),
    "objectives": ("objectives", "limit", "board", "scale", "latency_table", "latency_protocol"),
    "search space": (
        "space",
        "filters",
        "cells_per_block",
        "initial_width",
        "width_multiple",
        "operators",
        "initial_run",
        "initial_models",
    ),
    "sampling": ("sampling", "tie_break", "inheritance", "max_redraws", "seed"),
    "order": ("mode", "replay"),
    "training": TRAINING,
    "resources": (
        "workers",
        "strategy",
        "threads",
        "device_memory",
        "executor",
        "ray_address",
        "gpus_per_child",
    ),
    "run folder": ("workdir", "keep_all", "tensorboard"),
}
RETRAIN_GROUPS = {
    "training": (
        "recipe",
        "epochs",
        "batch_size",
        "learning_rate",
        "schedule",
        "decay_epochs",
        "decay_factor",
        "momentum",
        "nesterov",
        "weight_decay",
        "shake_shake",
        "drop_path",
        "precision",
        "seed",
    ),
    "resources": (
        "workers",
        "strategy",
        "device_memory",
        "cache_dir",
        "executor",
        "ray_address",
        "gpus_per_child",
    ),
}

TRANSFER_GROUPS = {
    "data": ("dataset", "image_size", "data_dir"),
    "training": (
        "weights",
        *RETRAIN_GROUPS["training"],
        "pad",
        "flip",
        "cutout",
        "mixup",
        "class_weights",
    ),
    "resources": (
        *(name for name in RETRAIN_GROUPS["resources"] if name != "strategy"),
        "strategy",
        "threads",
    ),
}
