from lemonade_tf.config import SearchConfig as SearchConfig
from lemonade_tf.monitoring.callback import Callback as Callback
from lemonade_tf.monitoring.search_state import SearchState as SearchState

from .driver import SearchResult as SearchResult
from .driver import search as search
from .run import SearchError as SearchError
