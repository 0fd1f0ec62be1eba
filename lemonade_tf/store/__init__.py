"""The folder of a run: what a search writes, and what reports and resuming read."""

from lemonade_tf.store.disk_errors import StoreError, disk_error
from lemonade_tf.store.file_names import CONFIG, HISTORY, IDENTITY, PROPOSALS
from lemonade_tf.store.locks import lock_folder
from lemonade_tf.store.model_files import ModelFiles, describe_file
from lemonade_tf.store.record_list import RecordList
from lemonade_tf.store.run_store import RunStore, make_new_folder

__all__ = [
    "CONFIG",
    "HISTORY",
    "IDENTITY",
    "ModelFiles",
    "PROPOSALS",
    "RecordList",
    "RunStore",
    "StoreError",
    "describe_file",
    "disk_error",
    "lock_folder",
    "make_new_folder",
]
