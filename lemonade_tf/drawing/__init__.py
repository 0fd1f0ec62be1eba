"""Pictures of architectures: layers as boxes, connections as arrows."""

from lemonade_tf.drawing.picture import DrawingError, draw, picture, picture_format

__all__ = ["DrawingError", "draw", "picture", "picture_format"]
