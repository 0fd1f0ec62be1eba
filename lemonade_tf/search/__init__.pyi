from lemonade_tf.config import SearchConfig as SearchConfig
from lemonade_tf.monitoring.callback import Callback as Callback
from lemonade_tf.monitoring.callback import SearchState as SearchState

from .driver import search as search
from .failures import NotStartedError as NotStartedError
from .failures import SearchError as SearchError
from .session import SearchResult as SearchResult
from .worker_processes import worker_setup as worker_setup
