#!/usr/bin/env bash
# Search for networks that fit a microcontroller. Options are passed on to the search.
set -euo pipefail

# A small board that has no name in --board: 128 KiB of flash and 20 KiB of RAM, of which the
# program around the network needs 80 and 8.
cat >small_board.toml <<'TOML'
flash = 131_072
ram = 20_480
reserved_flash = 81_920
reserved_ram = 8_192
TOML

# No network is trained whose int8 version would not fit. Networks lose different amounts of
# accuracy in int8; with int8_error as an objective, the search prefers those that lose little.
lemonade-tf search --preset minute --board small_board.toml \
  --objectives error,int8_error,parameters --workdir board_run "$@"

# What the board runs is the int8 network, so its error decides. The result is a C array for LiteRT
# Micro and a verdict from measured sizes: the exit status is 3 if the network does not fit.
lemonade-tf export board_run --best "lowest int8_error" \
  --format c --output network.c --board small_board.toml
