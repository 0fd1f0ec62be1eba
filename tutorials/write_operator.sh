#!/usr/bin/env bash
# Search with an operator of your own, which own_operator.py in the current folder defines.
set -euo pipefail

# Test it first: here, that children compute the same function as their parent.
python own_operator.py

# MODULE:NAME selects an operator, here together with four of the paper's.
lemonade-tf search --preset minute --workdir operator_run \
  --operators add_skip,remove,prune_filters,widen_convolution,own_operator:INSERT_DEPTHWISE "$@"

# The column "made by" above names it where it paid off; operator_run/report.html counts, for each
# operator, the children that entered the front. A drawing shows where it was applied.
smallest=$(lemonade-tf front operator_run --best smallest --ids)
lemonade-tf draw operator_run "$smallest" --output network.png
