"""Tiny files in the layouts of the downsampled ImageNet, 16 x 16 pixels."""

import io
import pickle
import zipfile

import numpy as np

SIDE, NUM, NUM_CLASSES = 16, 12, 3
TRAIN = [f"train_data_batch_{number}" for number in range(1, 11)]


def content(name, num=NUM, num_classes=NUM_CLASSES, side=SIDE):
    """Return what a file holds, as the authors wrote it."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    data = rng.integers(0, 256, (num, 3 * side**2), dtype=np.uint8)
    batch = {"data": data, "labels": [1 + i % num_classes for i in range(num)]}
    return batch if name == "val_data" else {**batch, "mean": np.zeros(3 * side**2)}


def contents(**options):
    """Return what each file holds, by name."""
    return {name: content(name, **options) for name in (*TRAIN, "val_data")}


def as_pickle(batch):
    return pickle.dumps(batch, protocol=4)


def as_npz(batch):
    buffer = io.BytesIO()
    np.savez(buffer, **batch)
    return buffer.getvalue()


def write_pickles(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, batch in batches.items():
        (folder / name).write_bytes(batch if isinstance(batch, bytes) else as_pickle(batch))


def write_npz(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, batch in batches.items():
        (folder / f"{name}.npz").write_bytes(as_npz(batch))


def write_zips(folder, batches, *, npz=False, side=SIDE):
    """Write the official archives, compressed, with a folder in them."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "_npz" if npz else ""
    for part, names in (("train", TRAIN), ("val", ["val_data"])):
        stem = f"Imagenet{side}_{part}{suffix}"
        with zipfile.ZipFile(folder / f"{stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                if npz:
                    archive.writestr(f"{stem}/{name}.npz", as_npz(batches[name]))
                else:
                    archive.writestr(name, as_pickle(batches[name]))


def pixels(batch, side=SIDE):
    """Return the images of a file: uint8 (n, side, side, 3)."""
    return batch["data"].reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
