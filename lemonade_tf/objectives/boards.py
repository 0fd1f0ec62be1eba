"""Boards with a microcontroller: how much flash and RAM a network may take there.

The int8 network lies in the flash, beside the program. Its activations, and what LiteRT Micro keeps
per layer, lie in one piece of RAM, the arena. A board leaves for them what the program does not
need: by default 128 KiB of flash for LiteRT Micro and the application, and 32 KiB of RAM for the
stack and variables. RAM is the largest contiguous piece, as an arena cannot be split. ESP-IDF needs
more: 512 KiB of flash and, on the ESP32-S3, 96 KiB of RAM, where it shares one piece with code.

| name | flash | RAM | source |
|---|---|---|---|
| `esp32` | 4 MiB | 160 KiB | ESP32-WROOM-32E datasheet (4 MB module); static data (ESP-IDF) |
| `esp32-s3` | 8 MiB | 341,760 bytes | ESP32-S3-WROOM-1 datasheet (N8); linker script of ESP-IDF |
| `nano33` | 960 KiB | 256 KiB | nRF52840 of 1 MiB, less the boot loader (boards.txt of Arduino) |
| `rp2040` | 2 MiB | 256 KiB | Raspberry Pi Pico datasheet; 264 KiB less 8 for stacks (pico-sdk) |
| `rp2350` | 4 MiB | 512 KiB | Raspberry Pi Pico 2 datasheet; 520 KiB less 8 for stacks (pico-sdk) |
| `stm32f4` | 512 KiB | 128 KiB | STM32F446RE (Nucleo-F446RE); RM0390, 2.1: 112 + 16 KiB, adjacent |
| `stm32h7` | 2 MiB | 512 KiB | STM32H743ZI (Nucleo-H743ZI2), AXI SRAM of 1 MiB RAM |

Another board is a JSON or TOML file: `flash` and `ram` in bytes, and optionally `name`,
`reserved_flash` and `reserved_ram`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from lemonade_tf.errors import did_you_mean, quoted
from lemonade_tf.objectives.objective import ObjectiveError

_KIB = 1024
INT8_BYTES, INT8_ARENA = "int8_bytes", "int8_arena"
_LARGEST_FILE = 10_000  # bytes of the file of a board


class BoardError(ObjectiveError):
    """There is no such board, or its file does not describe one."""

    exit_status: ClassVar[int] = 2


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        name: Its name.
        flash: Bytes of flash.
        ram: Bytes of the largest contiguous piece of RAM.
        reserved_flash: Bytes of flash for everything but the network.
        reserved_ram: Bytes of RAM for everything but the arena.
    """

    name: str
    flash: int
    ram: int
    reserved_flash: int = 128 * _KIB
    reserved_ram: int = 32 * _KIB

    @property
    def limits(self) -> dict[str, float]:
        """The limits of a search for this board, by objective."""
        return {
            INT8_BYTES: float(self.flash - self.reserved_flash),
            INT8_ARENA: float(self.ram - self.reserved_ram),
        }


BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        Board("esp32", 4096 * _KIB, 160 * _KIB, 512 * _KIB),
        Board("esp32-s3", 8192 * _KIB, 341_760, 512 * _KIB, 96 * _KIB),
        Board("nano33", 960 * _KIB, 256 * _KIB),
        Board("rp2040", 2048 * _KIB, 256 * _KIB),
        Board("rp2350", 4096 * _KIB, 512 * _KIB),
        Board("stm32f4", 512 * _KIB, 128 * _KIB),
        Board("stm32h7", 2048 * _KIB, 512 * _KIB),
    )
}


@dataclass(frozen=True)
class Fit:
    """Whether a network fits a board.

    Attributes:
        board: The board.
        num_bytes: The bytes of the int8 network.
        arena: The bytes of its arena.
        measured: Whether LiteRT Micro measured the arena; else it is predicted from the graph.
    """

    board: Board
    num_bytes: float
    arena: float
    measured: bool = False

    @property
    def fits(self) -> bool:
        """Whether both fit."""
        limits = self.board.limits
        return self.num_bytes <= limits[INT8_BYTES] and self.arena <= limits[INT8_ARENA]

    def __str__(self) -> str:
        limits, how = self.board.limits, "measured" if self.measured else "predicted"
        return (
            f"{'FITS' if self.fits else 'DOES NOT FIT'} {self.board.name}:"
            f" {self.num_bytes:,.0f} of {limits[INT8_BYTES]:,.0f} bytes of flash,"
            f" arena {self.arena:,.0f} of {limits[INT8_ARENA]:,.0f} bytes of RAM ({how})"
        )


def limits_with_board(limits: Mapping[str, float], board: str | None) -> dict[str, float]:
    """Return limits by objective, with those of a board that are not given.

    A resumed search has all of them already, and needs no file of a board any more.

    Raises:
        BoardError: As for `find_board`.
    """
    if board is None or {INT8_BYTES, INT8_ARENA} <= set(limits):
        return dict(limits)
    return {**find_board(board).limits, **limits}


def find_board(name: str | os.PathLike[str]) -> Board:
    """Return a board by name, or from a file.

    Raises:
        BoardError: If there is no such board, or the file does not describe one.
    """
    name = os.fspath(name)
    if name in BOARDS:
        return BOARDS[name]
    path = Path(name).expanduser()
    if path.suffix not in (".json", ".toml"):
        near = did_you_mean(name, BOARDS)
        raise BoardError(
            f"unknown board {name!r}{near or ';'} expected one of {', '.join(BOARDS)}, or a .json"
            " or .toml file with flash and ram in bytes."
        )
    try:
        text = path.read_bytes()[:_LARGEST_FILE].decode()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return _board(path, values)
    except OSError as error:
        raise BoardError(f"{name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BoardError(f"{name} is not the file of a board: {quoted(error)}") from error


def _board(path: Path, values: Any) -> Board:
    """Return the board of a file's values.

    Raises:
        ValueError: If they are not those of one.
    """
    known = [field.name for field in fields(Board)]
    if not isinstance(values, dict) or not {"flash", "ram"} <= set(values) <= set(known):
        found = f"it has {', '.join(map(str, values))}" if isinstance(values, dict) else "no table"
        others = ", ".join(name for name in known if name not in ("flash", "ram"))
        raise ValueError(f"{found}; expected flash and ram, and optionally {others}.")
    sizes = {key: value for key, value in values.items() if key != "name"}
    for key, value in sizes.items():
        if type(value) is not int or not 0 <= value < 2**48:
            raise ValueError(f"{key} is {value!r}; expected a number of bytes.")
    board = Board(str(values.get("name", path.stem)), **sizes)
    for key, limit in zip(("flash", "ram"), board.limits.values(), strict=True):
        if limit <= 0:
            size, reserved = getattr(board, key), getattr(board, f"reserved_{key}")
            raise ValueError(
                f"{key} is {size:,} bytes, and {reserved:,} are reserved, so nothing is left for"
                f" the network; expected less in reserved_{key}."
            )
    return board
