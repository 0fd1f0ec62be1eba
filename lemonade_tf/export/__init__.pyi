from .benchmarking import benchmark as benchmark
from .checking import Exported as Exported
from .exporting import export as export
from .fine_tuning import FineTuned as FineTuned
from .folding import fold_batch_normalization as fold_batch_normalization
from .formats import FORMATS as FORMATS
from .formats import ExportError as ExportError
from .output_comparison import Comparison as Comparison
