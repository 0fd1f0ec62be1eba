"""What needs a particular Keras backend; TensorFlow's files are named for it."""
