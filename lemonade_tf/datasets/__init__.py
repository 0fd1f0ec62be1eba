"""Labeled images: load a data set by name or from a file, download it, and split it.

`loading` holds the table of names, one module reads each format (`digits`, `cifar`, `npz`), and
`dataset` defines the value that all of them return.
"""
