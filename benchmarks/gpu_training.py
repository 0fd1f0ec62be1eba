"""What the processes of `gpu.py` measure: training and exactness of this package, and PyTorch."""

import gc
import time

import numpy as np
from common import BATCH, CLASSES, IMAGE, Network, random_images

# --- Ours ------------------------------------------------------------------------------------


def set_up_tensorflow(precision):
    """Set up a process like a worker of a search; return GPU and version, or None without a GPU."""
    import tensorflow as tf

    from lemonade_tf.backends.current import current_backend

    current_backend().set_up(1)
    gpus = tf.config.list_physical_devices("GPU")
    measure_training(Network((8, 8, 8)), 2, "XLA", precision)  # loads libraries
    gc.freeze()
    if not gpus:
        return None
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"{details.get('device_name', 'GPU')}, TensorFlow {tf.__version__}"


def measure_training(network, num_steps, loop, precision):
    """Return images per second and fixed seconds of training a network."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.executors.device_turn import device_turn
    from lemonade_tf.training.augmentation import Augmentation
    from lemonade_tf.training.fit import make_trainer
    from lemonade_tf.training.settings import TrainingSettings

    graph, backend = network.graph(), current_backend()
    images, labels = map(backend.place, random_images(num_steps * BATCH))
    augmentation = Augmentation(IMAGE, CLASSES, (127.5, 127.5, 127.5), pad=4, cutout=16)
    settings = TrainingSettings(
        precision=precision, jit_compile="always" if loop == "XLA" else "never"
    )
    rng = np.random.default_rng(0)
    rates = np.full(num_steps, 0.01, np.float32)

    def draw():
        order = rng.permutation(num_steps * BATCH).astype(np.int32).reshape(num_steps, BATCH)
        return order, augmentation.draw(num_steps, BATCH, rng=rng)

    def epoch():
        order, draws = draw()
        trainer.run_epoch(images, labels, order, rates, draws)

    started = time.perf_counter()
    trainer = make_trainer(backend.training_model(graph, seed=0), settings, augmentation)
    order, draws = draw()
    trainer.compile(images, labels, order, rates, draws)
    fixed = time.perf_counter() - started
    with device_turn():
        start = time.perf_counter()
        epoch()
        first = time.perf_counter() - start
        seconds = _fastest(epoch)
    gc.collect()
    return num_steps * BATCH / seconds, fixed + max(0.0, first - seconds)


def _fastest(epoch):
    """Run epochs for about a second, and return the seconds of the fastest."""
    taken = []
    while len(taken) < 3 or (sum(taken) < 1 and len(taken) < 10):
        start = time.perf_counter()
        epoch()
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure_exactness(network, num_steps, tf32):
    """Return the largest relative change of the logits by each exact operator."""
    import tensorflow as tf

    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.keras_bridge import read_weights, to_keras
    from lemonade_tf.operators import EXACT
    from lemonade_tf.training.fit import fit
    from lemonade_tf.training.settings import TrainingSettings

    def logits(graph):
        forward = backend.forward(to_keras(graph, logits=True, seed=0))
        return forward.outputs(images[:256])[0]

    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    graph, backend = network.graph(), current_backend()
    images, labels = random_images(num_steps * BATCH)
    model = backend.training_model(graph, seed=0)
    on_device = map(backend.place, (images, labels))
    rng = np.random.default_rng(0)
    fit(model, *on_device, epochs=1, settings=TrainingSettings(batch_size=BATCH), rng=rng)
    graph = read_weights(model, graph)
    expected = logits(graph)
    changes = {}
    for operator in EXACT:
        sites = list(operator.candidates(graph))
        some = {round(i) for i in np.linspace(0, len(sites) - 1, 3)}
        children = [operator.apply(graph, sites[i], rng=rng).graph for i in sorted(some)]
        apart = max(np.abs(logits(child) - expected).max() for child in children)
        changes[operator.name] = float(apart / np.abs(expected).max())
    tf.config.experimental.enable_tensor_float_32_execution(False)
    gc.collect()
    return changes


# --- PyTorch ---------------------------------------------------------------------------------


def set_up_torch():
    """Set up a process with PyTorch; return its version, or None without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    torch.set_default_device("cuda")
    torch.set_float32_matmul_precision("high")  # TF32, like TensorFlow and PyTorch's convolutions
    torch.backends.cudnn.benchmark = True
    measure_torch(Network((8, 8, 8)), 2, False)
    return f"PyTorch {torch.__version__}"


def measure_torch(network, num_steps, as_graph):
    """Return images per second and fixed seconds of training a network in PyTorch."""
    import torch
    from pytorch import augment, module
    from torch.nn import functional

    from lemonade_tf.executors.device_turn import device_turn

    place = torch.get_default_device()
    images, labels = (torch.from_numpy(a).to(place) for a in random_images(num_steps * BATCH))
    images = images.permute(0, 3, 1, 2)  # channels last in memory
    targets = functional.one_hot(labels.long(), CLASSES).float()
    started = time.perf_counter()
    model = module(network).to(memory_format=torch.channels_last).train()
    kernels = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": others}]
    rate = torch.tensor(0.01)
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    batch, total = torch.arange(BATCH), torch.zeros(())

    def step():
        inputs, probabilities = augment(images[batch].float(), targets[batch])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), probabilities)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    run_step = _as_cuda_graph(step) if as_graph else step

    def epoch():
        for indices in torch.randperm(len(images)).split(BATCH):
            batch.copy_(indices)
            rate.fill_(0.01)
            run_step()
        total.item()

    epoch()
    fixed = time.perf_counter() - started
    with device_turn():
        seconds = _fastest(epoch)
    return num_steps * BATCH / seconds, max(0.0, fixed - seconds)


def _as_cuda_graph(step):
    """Capture a step as a CUDA graph and return its replay function."""
    import torch

    # Capturing requires some warm-up steps on another stream.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
