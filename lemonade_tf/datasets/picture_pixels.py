"""Read pictures: their size and channels from the header, and their pixels at a given size.

A picture is turned as its EXIF orientation says. Palettes become colors, transparent parts white,
16 bits of grey 8. It is scaled until it covers the given size, and cropped at the center.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_SIDE = 64  # of images whose size is not given
_SAME_ASPECT, _MOST = 1.1, 0.95  # pictures of about the same aspect ratio, and how many are most
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112
_MAX_PIXELS = 100_000_000  # more are likely an attack
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Header:
    """What the header of a picture says.

    Attributes:
        height: Its height in pixels, when it is turned upright.
        width: Its width.
        is_grey: Whether it has no colors.
    """

    height: int
    width: int
    is_grey: bool


def read_header(content: bytes) -> Header:
    """Read the header of a picture.

    Raises:
        Exception: Of many kinds, if it is no picture.
    """
    with _opened(content) as picture:
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return Header(height, width, _is_grey(picture))


def read_pixels(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Read the pixels of a picture.

    Args:
        content: The file.
        shape: (height, width, channels) of the result, uint8; 1 channel or 3.

    Raises:
        Exception: Of many kinds, if it is no picture, or it is damaged.
    """
    with _opened(content) as picture:
        height, width, _ = shape
        # JPEG decoders scale down by themselves. The factor leaves room for turning and cropping.
        side = 2 * max(height, width)
        picture.draft(None, (side, side))
        return resized(ImageOps.exif_transpose(picture), shape)


def resized(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels of an upright picture at a size, uint8, of 1 channel or 3."""
    height, width, channels = shape
    picture = _opaque(picture, "L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        scale = min(picture.width / width, picture.height / height)
        half_width, half_height = scale * width / 2, scale * height / 2
        x, y = picture.width / 2, picture.height / 2
        box = (
            max(0.0, x - half_width),
            max(0.0, y - half_height),
            min(picture.width, x + half_width),
            min(picture.height, y + half_height),
        )
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(picture, np.uint8).reshape(shape)


def default_size(headers: Sequence[Header]) -> tuple[int, int]:
    """Return the height and width of images if the user gives none.

    It is the median height and width, scaled down until the longer side is `MAX_SIDE`. If fewer
    than 95 % of the pictures have about the same aspect ratio, it is a square: the median of the
    shorter sides, at most `MAX_SIDE`.
    """
    sizes = np.array([(header.height, header.width) for header in headers], float)
    aspects = sizes[:, 0] / sizes[:, 1]
    ratio = aspects / np.median(aspects)
    if np.mean((ratio < _SAME_ASPECT) & (ratio > 1 / _SAME_ASPECT)) < _MOST:
        side = max(1, min(MAX_SIDE, round(float(np.median(sizes.min(axis=1))))))
        return side, side
    height, width = np.median(sizes, axis=0)
    scale = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of odd EXIF data, palettes and large pictures, in all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content), formats=("BMP", "JPEG", "PNG", "WEBP"))
    if picture.width * picture.height > _MAX_PIXELS:
        raise ValueError(
            f"{picture.width} x {picture.height} pixels, more than {_MAX_PIXELS // 10**6} million"
        )
    return picture


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode != "P":
        return picture.mode in _GREY
    palette = np.array(picture.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _opaque(picture: Image.Image, mode: str) -> Image.Image:
    """Return a picture in mode L or RGB; transparent parts become white."""
    if picture.mode.startswith("I"):
        pixels: Any = np.asarray(picture).astype(np.int64)
        return Image.fromarray((pixels >> 8).clip(0, 255).astype(np.uint8)).convert(mode)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture if picture.mode == mode else picture.convert(mode)
