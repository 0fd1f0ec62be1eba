"""Compare searches after equal time: LEMONADE, Optuna's samplers and random search.

    python experiments/equal_time.py --workdir OUT [--seeds 10] [--seconds 60,150,600]

Every method has the same images, processes (--workers, of one thread each) and seconds, its own
start included, and trains each network for as many epochs (--epochs), with SGD, a learning rate
that decays from 0.05 to 0 and no augmentation. Children of approximate operators are distilled for
half as many epochs before that. Methods run one after the other; use an otherwise idle machine.

- default: LEMONADE as in the preset `minute`, which goes beyond the paper: it samples by
  improvement, starts from narrow networks, and breaks ties between errors by the cross-entropy.
  Without the preset's limit of size, and with --num_accepted children per generation;
- density, wide, tied: the same with the paper's sampling, with its initial networks, or without
  breaking ties;
- paper: the same with all three;
- nsga2, tpe, random: Optuna 4 or newer with a population of 20, its TPE, and random sampling. The
  space is what a user would write by hand: 2 to 6 blocks of 4 to 256 filters, kernels of 3 or 5,
  convolutions plain or separable, each with batch normalization and ReLU, and 0 to 2 poolings.
  Every network is trained from new weights in plain Keras.

--max_multiply_adds limits the networks of all methods; without it, one network of large images may
take all the time. Samplers of Optuna reject the others before they are trained.

What a method has found after so many seconds is the front, by validation error and parameters, of
the networks that were completed by then; a search that breaks ties between errors does so here,
too. It is judged by the validation and by the test errors of
these networks: the hypervolume of the error and of its logarithm, over the decimal logarithm of the
parameters, from 1,000 to 10 million; and the error of the best network, by the validation error, up
to each size. OUT/METHOD-SEED.jsonl has all networks of a run, and OUT/equal_time.png the
hypervolume against the seconds, with bands from the lowest to the highest seed. Rerun an
interrupted command to continue with the runs that are missing. Processes of different seeds
(--first_seed, --seeds), each on its own core, may share OUT; then rerun the command with all seeds
to compare them.

The last line is `ratio: X`: the hypervolume of the default, of test errors after the longest time,
over that of the best of Optuna's samplers, as the median over seeds. Without one of them, or
without the default, there is no such line.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from common import run_script
from judging import check_classes, compared, lower_equal_higher, plot_bands, quality
from resumable import check_settings, finished

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.errors import LemonadeError
from lemonade_tf.presets import PRESETS
from lemonade_tf.report import write_figure
from lemonade_tf.report.figure import new_figure
from lemonade_tf.runs import read_run

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
SEEDS = flags.DEFINE_integer("seeds", 10, "Number of seeds.", lower_bound=1)
FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "The first one; processes of different seeds may share OUT.", lower_bound=0
)
SECONDS = flags.DEFINE_list("seconds", "60,150,600", "When the methods are compared.")
METHODS = flags.DEFINE_list("methods", "default,paper,nsga2,tpe,random", "Methods to compare.")
MAX_MULTIPLY_ADDS = flags.DEFINE_float("max_multiply_adds", None, "Limit of a network.")
NUM_ACCEPTED = flags.DEFINE_integer("num_accepted", 16, "Children of a generation.", lower_bound=1)
DATASET = flags.DEFINE_string("dataset", "digits", "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of official archives, if it is one.")
EPOCHS = flags.DEFINE_integer("epochs", 4, "Epochs of each network.", lower_bound=1)
WORKERS = flags.DEFINE_integer("workers", 2, "Processes that train.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")
OPTUNA = flags.DEFINE_string("optuna", None, "Internal: a process of a method.")
SEED = flags.DEFINE_integer("seed", 0, "Internal: its seed.")
DEADLINE = flags.DEFINE_float("deadline", 0.0, "Internal: when it ends, in seconds since 1970.")

PAPER = {"sampling": "density", "initial_width": 1.0, "tie_break": "none"}
OURS = {name: PRESETS["minute"][name] for name in PAPER}
LEMONADE = {
    "default": OURS,
    "density": {**OURS, "sampling": PAPER["sampling"]},
    "wide": {**OURS, "initial_width": PAPER["initial_width"]},
    "tied": {**OURS, "tie_break": PAPER["tie_break"]},
    "paper": PAPER,
}
PEERS = ("nsga2", "tpe", "random")
SIZES = (1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000)
LARGEST = 10_000_000  # parameters, as far as the paper's fronts reach
BATCH_SIZE, LEARNING_RATE, POPULATION = 64, 0.05, 20


# --- Running a method ------------------------------------------------------------------------


def run_method(method, seed, seconds, workdir):
    """Run a method for so many seconds; return its networks, in order of time."""
    begin = time.time()
    run = lemonade if method in LEMONADE else optuna_study
    found = run(method, seed, begin, seconds, workdir)
    return sorted(found, key=lambda each: each["seconds"])


def lemonade(method, seed, begin, seconds, workdir):
    """Search with this package's command, and return what it trained."""
    folder = workdir / f"run-{method}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
    command = [sys.executable, "-m", "lemonade_tf", "search", "--dataset", DATASET.value]
    command += ["--seed", str(seed), "--workdir", str(folder)]
    settings = {
        **LEMONADE[method],
        "epochs": EPOCHS.value,
        "distillation_epochs": max(1, EPOCHS.value // 2),
        "learning_rate": LEARNING_RATE,
        "workers": WORKERS.value,
        "num_proposed": 5 * NUM_ACCEPTED.value,
        "num_accepted": NUM_ACCEPTED.value,
    }
    command += [word for name in settings for word in (f"--{name}", str(settings[name]))]
    if MAX_MULTIPLY_ADDS.value is not None:
        command += ["--limit", f"multiply_adds={MAX_MULTIPLY_ADDS.value}"]
    command += ["--num_generations", "10000", "--max_hours", str(seconds / 3600)]
    command += ["--pad", "0", "--no-flip", "--cutout", "0", "--mixup", "0"]
    command += [] if DATA_DIR.value is None else ["--data_dir", DATA_DIR.value]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, errors = process.communicate(timeout=seconds - (time.time() - begin))
        if process.returncode != 0:
            raise LemonadeError(f"{' '.join(command)} failed: {errors.decode().strip()}")
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # the second ends the children in training, too
        process.communicate()
        if isinstance(reason, KeyboardInterrupt):
            raise
    if not (folder / "history.jsonl").exists():
        return []
    return [
        {
            "seconds": record.timestamp - begin,
            "parameters": record.objectives["parameters"],
            "error": record.error,
            "ranked_error": record.ranked_error,
            "test_error": record.test_error,
        }
        for record in read_run(folder).trained
    ]


def optuna_study(method, seed, begin, seconds, workdir):
    """Optimize with Optuna in several processes, and return what they trained."""
    import optuna

    journal = workdir / f"{method}-{seed}.journal"
    journal.unlink(missing_ok=True)  # of a run that was interrupted
    _study(optuna, journal, method, seed)
    command = [sys.executable, __file__, "--workdir", str(workdir), "--optuna", str(journal)]
    command += ["--methods", method, "--dataset", DATASET.value, "--epochs", str(EPOCHS.value)]
    command += ["--deadline", str(begin + seconds)]
    command += [] if DATA_DIR.value is None else ["--data_dir", DATA_DIR.value]
    if MAX_MULTIPLY_ADDS.value is not None:
        command += ["--max_multiply_adds", str(MAX_MULTIPLY_ADDS.value)]
    processes = [
        subprocess.Popen([*command, "--seed", str(seed * WORKERS.value + number)])
        for number in range(WORKERS.value)
    ]
    try:
        for process in processes:
            if process.wait() != 0:
                status = process.returncode
                raise LemonadeError(f"a process of {method} ended with status {status}.")
    finally:  # also after Ctrl-C
        for process in processes:
            process.kill()
            process.wait()
    trials = _study(optuna, journal, method, seed).get_trials(
        states=[optuna.trial.TrialState.COMPLETE]
    )
    return [
        {
            "seconds": trial.datetime_complete.timestamp() - begin,
            "parameters": trial.values[1],
            "error": trial.values[0],
            "test_error": trial.user_attrs["test_error"],
        }
        for trial in trials
    ]


def _study(optuna, journal, method, seed):
    """Create or load a study in a file that processes share."""
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        study_name=method,
        sampler=samplers[method](),
        directions=["minimize", "minimize"],
        load_if_exists=True,
    )


# --- A process of Optuna: what a user writes with plain Keras -------------------------------------


def run_trials(journal, method, seed, deadline):
    """Train networks until the deadline; one that is not complete by then does not count."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import optuna
    import tensorflow as tf

    from lemonade_tf.keras_bridge import from_keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = load_dataset(DATASET.value, DATA_DIR.value)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, max(deadline - time.time(), 0.1))

    def objective(trial):
        keras.backend.clear_session()
        keras.utils.set_random_seed(trial.number)
        model = _network(trial, keras, data)
        most = MAX_MULTIPLY_ADDS.value
        if most is not None and count_multiply_adds(from_keras(model)) > most:
            raise optuna.TrialPruned
        steps = EPOCHS.value * len(data.x_train) // BATCH_SIZE
        model.compile(
            keras.optimizers.SGD(
                keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps),
                momentum=0.9,
                nesterov=True,
            ),
            "sparse_categorical_crossentropy",
        )
        model.fit(data.x_train, data.y_train, BATCH_SIZE, EPOCHS.value, verbose=0)
        trial.set_user_attr("test_error", _error(model, data.x_test, data.y_test))
        return _error(model, data.x_validation, data.y_validation), model.count_params()

    _study(optuna, journal, method, seed).optimize(objective)


def _network(trial, keras, data):
    """Return a network of the space that a user would write."""
    num_blocks = trial.suggest_int("blocks", 2, 6)
    poolings = [trial.suggest_int(f"pooling_{n}", 0, 6) for n in range(2)]  # 0, or after a block
    x = inputs = keras.Input(data.input_shape)
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    for block in range(1, num_blocks + 1):
        filters = trial.suggest_int(f"filters_{block}", 4, 256, log=True)
        size = trial.suggest_categorical(f"kernel_{block}", [3, 5])
        separable = trial.suggest_categorical(f"separable_{block}", [False, True])
        kind = keras.layers.SeparableConv2D if separable else keras.layers.Conv2D
        x = kind(filters, size, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        if block in poolings and min(x.shape[1:3]) >= 2:
            x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(data.num_classes, "softmax")(x))


def _error(model, images, labels):
    predicted = model.predict(images, batch_size=256, verbose=0).argmax(axis=1)
    return float(np.mean(predicted != labels))


# --- Judging -------------------------------------------------------------------------------------


def quality_after(networks, seconds, half_an_image, kind):
    """Return what `judging.quality` returns for the networks that were completed by then."""
    done = [each for each in networks if each["seconds"] <= seconds]
    return quality(done, kind, half_an_image, largest=LARGEST, sizes=SIZES)


def print_comparison(results, seconds, kind, half_an_image):
    """Print the table of one time; return the hypervolumes of the error: method to (seeds,)."""
    print(f"\nAfter {seconds:g} s, {kind.replace('_', ' ')} of the front, mean over seeds")
    sizes = "".join(f"{f'<={size:,}':>10}" for size in SIZES)
    print(f"{'':9}{'networks':>9}{'hypervolume':>20}{'of log error':>20}{sizes}")
    judged = {}
    for method, runs in results.items():
        values = np.array([quality_after(run, seconds, half_an_image, kind) for run in runs])
        counts = [sum(each["seconds"] <= seconds for each in run) for run in runs]
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        spread = [f"{mean[n]:.3f} ({deviation[n]:.3f})" for n in range(2)]
        errors = "".join(f"{100 * error:>8.2f} %" for error in mean[2:])
        print(f"{method:9}{np.mean(counts):>9.0f}{spread[0]:>20}{spread[1]:>20}{errors}")
        judged[method] = values.T
    for method, others in judged.items():
        if method != "default" and "default" in judged:
            ours = judged["default"]
            ahead = ", of log error in ".join(map(compared, ours[:2], others[:2]))
            print(f"default ahead of {method} in {ahead} seeds")
            cells = zip(*map(lower_equal_higher, ours[2:], others[2:]), strict=True)
            titles = "its errors are lower/equal/higher in so many seeds", "p"
            for title, row in zip(titles, cells, strict=True):
                print(f"{title:>58}" + "".join(f"{cell:>10}" for cell in row))
    return {method: values[0] for method, values in judged.items()}


def plot(path, results, longest, half_an_image):
    """Plot the hypervolumes of the test errors against the seconds."""
    figure, axes = new_figure()
    times = np.linspace(longest / 60, longest, 60)
    for number, (method, runs) in enumerate(results.items()):
        values = np.array(
            [
                [quality_after(run, each, half_an_image, "test_error") for each in times]
                for run in runs
            ]
        )
        plot_bands(axes, times, values[..., 1], method, f"C{number}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("hypervolume (log test error, log parameters)")
    axes.legend(frameon=False)
    write_figure(path, figure)


def main(_):
    if OPTUNA.value is not None:
        run_trials(OPTUNA.value, METHODS.value[0], SEED.value, DEADLINE.value)
        return
    unknown = [name for name in METHODS.value if name not in (*LEMONADE, *PEERS)]
    if unknown:
        known = ", ".join((*LEMONADE, *PEERS))
        raise app.UsageError(f"--methods has {unknown[0]!r}; expected some of {known}.")
    try:
        times = [20.0] if QUICK.value else sorted(map(float, SECONDS.value))
    except ValueError:
        times = []
    if not times or not 0 < times[0] <= times[-1] < float("inf"):
        raise app.UsageError(f"--seconds is {','.join(SECONDS.value)!r}; expected numbers above 0.")
    data = load_dataset(DATASET.value, DATA_DIR.value)
    check_classes(DATASET.value, data)
    workdir = Path(WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    methods = ["default", "nsga2"] if QUICK.value else METHODS.value
    check_settings(
        workdir,
        {
            "dataset": DATASET.value,
            "longest_seconds": times[-1],
            "epochs": EPOCHS.value,
            "workers": WORKERS.value,
            "num_accepted": NUM_ACCEPTED.value,
            "max_multiply_adds": MAX_MULTIPLY_ADDS.value,
            "default": OURS,
        },
    )
    results = {method: [] for method in methods}
    first, count = FIRST_SEED.value, 1 if QUICK.value else SEEDS.value
    for seed in range(first, first + count):
        for method in methods:
            found = finished(
                workdir / f"{method}-{seed}.jsonl",
                lambda method=method, seed=seed: run_method(method, seed, times[-1], workdir),
            )
            results[method].append(found)
            print(f"{method}, seed {seed}: {len(found)} networks", flush=True)
    for seconds in times:
        for kind, labels in (("error", data.y_validation), ("test_error", data.y_test)):
            volumes = print_comparison(results, seconds, kind, 0.5 / len(labels))
    plot(workdir / "equal_time.png", results, times[-1], 0.5 / len(data.y_test))
    print(f"Figure: {workdir / 'equal_time.png'}")
    peers = [volumes[name] for name in methods if name in PEERS]
    if peers and "default" in volumes:
        ratios = volumes["default"] / np.maximum(np.max(peers, axis=0), 1e-9)
        print(f"ratio: {np.median(ratios):.4f}")


if __name__ == "__main__":
    run_script(main)
