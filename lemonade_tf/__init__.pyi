from . import architecture as architecture
from . import baselines as baselines
from . import config as config
from . import datasets as datasets
from . import drawing as drawing
from . import evolution as evolution
from . import executors as executors
from . import export as export
from . import keras_bridge as keras_bridge
from . import latency as latency
from . import monitoring as monitoring
from . import objectives as objectives
from . import operators as operators
from . import report as report
from . import retraining as retraining
from . import runs as runs
from . import search as search
from . import search_spaces as search_spaces
from . import store as store
from . import surgery as surgery
from .errors import LemonadeError as LemonadeError
from .keras_bridge import load_graph as load_graph
from .keras_bridge import load_model as load_model
from .surgery import Surgery as Surgery

__version__: str
