"""What needs a particular Keras backend: an abstract `Backend`, and one implementation of it.

All other packages use Keras and NumPy only and call `current_backend()` for the rest. A file that
imports TensorFlow is named for it. Supporting another backend takes a subclass of `base.Backend`
and an entry in `current`.
"""
