from .augmenting import Augmented as Augmented
from .augmenting import augment_run as augment_run
from .driver import Retrained as Retrained
from .driver import retrain as retrain
from .folder import RetrainError as RetrainError
from .retrain_config import RetrainConfig as RetrainConfig
