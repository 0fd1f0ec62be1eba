from lemonade_tf.config import SearchConfig as SearchConfig

from .callbacks import Callback as Callback
from .callbacks import SearchState as SearchState
from .driver import SearchResult as SearchResult
from .driver import search as search
from .run import SearchError as SearchError
