"""Surgery on a Keras model: the operators of section 3 at named layers, without a search."""

from lemonade_tf.surgery.surgery import Surgery

__all__ = ["Surgery"]
