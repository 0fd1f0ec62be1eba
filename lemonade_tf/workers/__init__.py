"""The work of worker processes: train children, time networks, prepare objectives, retrain.

The driver of a search imports only `tasks`, `retraining_task` and `setup`, which are plain values
and load no Keras. The other modules are imported in the worker processes.
"""
