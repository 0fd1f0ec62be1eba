"""The names of the files of a run; `run_store` describes their contents."""

CONFIG, FRONT, PINNED = "config.json", "front.csv", "pinned.txt"
HISTORY, PROPOSALS = "history.jsonl", "proposals.jsonl"
INITIAL, MEASUREMENTS = "initial.jsonl", "measurements.jsonl"
MODELS, STAGING, PLOTS = "models", "staging", "plots"
INITIAL_MODELS, AUGMENTED = "initial_models", "augmented"

# Everything that a command may write in a run folder.
ALL = (CONFIG, FRONT, PINNED, HISTORY, PROPOSALS, INITIAL, MEASUREMENTS, MODELS, STAGING, PLOTS)
ALL += (INITIAL_MODELS, AUGMENTED)
ALL += ("logs", "tensorboard", "report.html", "retrained", "retrained.jsonl", "retrained.csv")
