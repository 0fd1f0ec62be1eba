#!/usr/bin/env bash
# Minimize objectives of your own, which own_objectives.py in the current folder defines.
set -euo pipefail

# MODULE:NAME selects an objective. Cheap ones may be limited, under their own names.
lemonade-tf search --preset minute --workdir objective_run \
  --objectives error,parameters,own_objectives:DEPTH,own_objectives:WORST --limit depth=8,parameters=1e5 "$@"

# All commands know them.
lemonade-tf front objective_run --best "lowest worst_class_error: depth<=6"
