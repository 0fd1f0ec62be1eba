"""Compare training speed with a bare TensorFlow loop: images per second.

    python benchmarks/training_speed.py [--quick]

Ours is `training.fit` on uint8 images with crop, flip, Cutout, mixup and weight decay. The other is
a minimal training loop without augmentation: one `tf.function` over batches in memory as floats, in
order, with stock Keras layers and momentum written by hand. Seven initial networks of search space
I and one of 30 blocks, batches of 64 images of 32x32x3, on one thread and on all; compiling is not
counted. The last line is the ratio of our images per second to the bare loop's, the median over
networks, for the number of threads where it is lower. Target: at least 1.0.
"""

from common import BATCH, compare_speed, random_images
from script import Parser, run_benchmark

RATE, MOMENTUM = 0.01, 0.9


def train_bare(job, turns, threads):
    """Train a network in a bare loop; each turn is an epoch."""
    import tensorflow as tf

    from lemonade_tf.keras_bridge import to_keras

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    network, num_steps, num_turns = job
    images, labels = random_images(num_steps * BATCH)
    images = tf.constant(images.reshape(num_steps, BATCH, *images.shape[1:]), tf.float32)
    labels = tf.constant(labels.reshape(num_steps, BATCH))
    model = to_keras(network.graph(), logits=True)  # stock layers
    weights = [weight.value for weight in model.trainable_weights]
    momenta = [tf.Variable(tf.zeros_like(weight)) for weight in weights]

    @tf.function
    def epoch():
        total = 0.0
        for step in tf.range(num_steps):
            with tf.GradientTape() as tape:
                logits = model(images[step], training=True)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels[step], logits)
                )
            for weight, momentum, gradient in zip(
                weights, momenta, tape.gradient(loss, weights), strict=True
            ):
                momentum.assign(MOMENTUM * momentum - RATE * gradient)
                weight.assign_add(momentum)
            total += loss
        return total / num_steps

    for _ in range(num_turns):
        turns.next()
        float(epoch())
    turns.end()


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two networks, few steps")
    ratio = compare_speed(train_bare, "bare loop", quick=parser.parse_args().quick)
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
