"""Training: settings, augmentation, distillation, epochs, evaluation, checkpoints.

Importing this package loads no backend; the modules that train load Keras when they are imported.
"""
