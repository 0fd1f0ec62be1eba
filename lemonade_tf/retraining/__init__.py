"""The final training of a run's front, from scratch (A.4.4)."""

from lemonade_tf.lazy import importing

__all__ = ["RetrainConfig", "RetrainError", "Retrained", "retrain"]

__getattr__ = importing(  # not at once: the command begins with the settings
    __name__,
    {
        "RetrainConfig": ".retrain_config",
        "RetrainError": ".folder",
        "Retrained": ".driver",
        "retrain": ".driver",
    },
)
