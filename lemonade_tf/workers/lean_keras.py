"""Import Keras without scikit-learn and matplotlib, for processes of our own.

Where they are installed, Keras imports both for `keras.wrappers` and its plots of images. Workers
use neither, and start a second sooner without.
"""

import sys
from typing import Any, cast

_UNUSED = [name for name in ("sklearn", "matplotlib") if name not in sys.modules]

# Importing a module that is None raises ImportError.
cast(dict[str, Any], sys.modules).update(dict.fromkeys(_UNUSED))
try:
    import keras  # noqa: F401
finally:
    for name in _UNUSED:
        del sys.modules[name]
