"""The weights that a child starts from: operators leave some open, training images determine them.

Operators inherit the weights of the parent and list repairs, which need data: statistics of new
batch normalizations (`batch_statistics`), and layers to fit after an approximate operator
(`fitted_start`, by `least_squares`). `starts` carries them out.
"""
