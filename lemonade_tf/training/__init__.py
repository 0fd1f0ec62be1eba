"""Training children: distillation, training, evaluation, and what a worker does with them.

Importing this package loads no backend; its modules load Keras when they are imported.
"""
