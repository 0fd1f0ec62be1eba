"""Shrink a trained Keras model to a quarter of its multiply-adds, without labels."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from lemonade_tf import Surgery

keras.utils.set_random_seed(0)
digits = load_digits()
images = digits.images[..., None].astype("float32") / 16
labels = digits.target
train, test = slice(0, 1400), slice(1400, None)

# This stands for your model: keras.models.load_model("mine.keras").
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="first"),
        keras.layers.Conv2D(64, 3, padding="same", activation="relu", name="second"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax", name="classes"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images[train], labels[train], epochs=10, verbose=0)

# A few hundred images like those that the model is for, preprocessed like its input.
surgery = Surgery(model, images=images[:300])
surgery.shrink(multiply_adds=0.25)  # also parameters=..., latency=...
print(surgery)

# The layers after removed channels were fitted to their previous outputs. Distillation then trains
# all weights to give the outputs of the original model, for which more images are better.
shrunk = surgery.model()
surgery.distill(images[train], epochs=5)
recovered = surgery.model()

for name, each in (("original", model), ("shrunk", shrunk), ("and distilled", recovered)):
    error = np.mean(each.predict(images[test], verbose=0).argmax(axis=1) != labels[test])
    print(f"{name:14}{each.count_params():7,} parameters, test error {100 * error:.2f} %")
recovered.save("smaller.keras")  # stock Keras layers only: opens without this package
