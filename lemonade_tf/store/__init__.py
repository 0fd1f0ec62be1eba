"""The folder of a run on disk: its lists of typed records, its settings, its network files."""

from lemonade_tf.store.disk_errors import StoreError, disk_error, explained
from lemonade_tf.store.file_names import CONFIG, HISTORY, INITIAL_MODELS, PROPOSALS
from lemonade_tf.store.locks import FolderLock, lock_folder
from lemonade_tf.store.model_files import ModelFiles, describe_file
from lemonade_tf.store.network_ids import network_id, parse_network_id
from lemonade_tf.store.record_list import RecordList
from lemonade_tf.store.records import (
    ExtraDatasetRecord,
    FileRecord,
    FrontRow,
    InitialRecord,
    MeasurementRecord,
    NetworkRecord,
    ProposalRecord,
    RetrainedRecord,
    SlotRecord,
)
from lemonade_tf.store.run_config import ImagesRecord, RandomSearchRecord, RunConfig
from lemonade_tf.store.run_store import RunStore, make_new_folder

__all__ = [
    # The folder.
    "RunStore",
    "StoreError",
    "disk_error",
    "explained",
    "FolderLock",
    "lock_folder",
    "make_new_folder",
    "CONFIG",
    "HISTORY",
    "INITIAL_MODELS",
    "PROPOSALS",
    # Its lists and settings.
    "RecordList",
    "RunConfig",
    "ImagesRecord",
    "RandomSearchRecord",
    "NetworkRecord",
    "ExtraDatasetRecord",
    "ProposalRecord",
    "SlotRecord",
    "MeasurementRecord",
    "InitialRecord",
    "RetrainedRecord",
    "FrontRow",
    "network_id",
    "parse_network_id",
    # Its networks.
    "ModelFiles",
    "FileRecord",
    "describe_file",
]
