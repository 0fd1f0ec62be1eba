"""Between graphs and Keras: models, weights, files.

`load_graph` and `load_record` read a saved file with h5py alone; what needs Keras is imported when
it is first asked for.
"""

from lemonade_tf.lazy import importing

_WHERE = {
    "ConvexSum": ".convex_sum",
    "FileError": ".files",
    "from_keras": ".model_to_graph",
    "load_graph": ".files",
    "load_model": ".saving",
    "load_record": ".files",
    "read_weights": ".weights",
    "save_model": ".saving",
    "to_keras": ".graph_to_model",
}

__all__ = list(_WHERE)
__getattr__ = importing(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
