"""What the files of a run are called; see `run_store` for what is in them."""

CONFIG, FRONT, PINNED = "config.json", "front.csv", "pinned.txt"
HISTORY, PROPOSALS = "history.jsonl", "proposals.jsonl"
INITIAL, MEASUREMENTS = "initial.jsonl", "measurements.jsonl"
MODELS, STAGING, PLOTS = "models", "staging", "plots"
IDENTITY = "run"  # of config.json: tells a run from all others
