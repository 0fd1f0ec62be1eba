"""`python -m lemonade_tf`: the same as the command `lemonade-tf`."""

from lemonade_tf.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
