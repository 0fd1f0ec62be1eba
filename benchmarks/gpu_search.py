"""Search on all of CIFAR-10 with the paper's settings on GPUs, for some minutes, and sum it up.

    python benchmarks/gpu_search.py --data_dir DIR [--minutes 5] [--workers N] [--workdir RUN]

DIR contains the official files of CIFAR-10. Every network trains on 45,000 images for 20 epochs.
Children per hour are those after the initial networks. The exposed seconds are the time of the
search without training and distilling, per child: what the GPU waited for. Under NVIDIA's
Multi-Process Service (MPS) children train at the same time, and they can be negative.

The last line is the ratio of children per hour to 500, with which a full search of 4,000 children
takes 8 hours. Target: 1.0. Without a GPU nothing is measured, and the last line starts with
"skipped".
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean, median

from script import Parser, positive, run_benchmark

from lemonade_tf.executors import count_gpus
from lemonade_tf.runs import read_run

COMMAND = "import sys; from lemonade_tf.cli import main; sys.exit(main())"
SIZES = (1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, float("inf"))
FULL_SEARCH, HOURS = 4_000, 8


def search(options, workdir):
    """Run the search; children in training at the end of the time are finished."""
    given = {
        "dataset": "cifar10",
        "data_dir": options.data_dir,
        "preset": "paper",
        "workdir": workdir,
        "max_hours": options.minutes / 60,
        "workers": options.workers,
    }
    arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
    subprocess.run([sys.executable, "-c", COMMAND, "search", *arguments], check=True)


def describe(name, records):
    """Print the speed of networks, and the mean seconds of each phase."""
    phases = {p: fmean(r.seconds.get(p, 0.0) for r in records) for p in records[0].seconds}
    seconds = ", ".join(f"{phase} {value:.2f}" for phase, value in phases.items())
    speed = median(record.images_per_second or 0.0 for record in records)
    print(f"{name}: {len(records)}; median {speed:,.0f} images per second; mean seconds: {seconds}")


def children_per_hour(children):
    """Print and return children per hour."""
    start = min(record.timestamp - record.seconds["total"] for record in children)
    span = max(record.timestamp for record in children) - start
    training = sum(record.seconds["train"] + record.seconds["distill"] for record in children)
    rate = 3600 * len(children) / span
    print(
        f"children per hour: {rate:,.0f}; exposed: {(span - training) / len(children):.2f} s each"
    )
    return rate


def summarize(run):
    """Print what was found, and return children per hour."""
    initial = [record for record in run.trained if record.generation == 0]
    children = [record for record in run.trained if record.generation > 0]
    print(f"networks: {len(run.trained)} trained, {len(run.history) - len(run.trained)} failed")
    describe("initial networks", initial)
    rate = 0.0
    if children:
        describe("children", children)
        rate = children_per_hour(children)
    volumes = run.hypervolumes()
    print(f"hypervolume: {volumes[len(initial) - 1]:.4f}, at the end {volumes[-1]:.4f}")
    for low, high in zip((0, *SIZES), SIZES, strict=False):
        some = [r for r in run.trained if low <= r.objectives["parameters"] < high]
        if some:
            best = min(some, key=lambda record: record.ranked_error)
            error, size = best.objectives["error"], best.objectives["parameters"]
            print(
                f"  below {high:>9,.0f} parameters: {len(some):4} networks, best error"
                f" {100 * error:.2f} % ({best.id}, {size:,} parameters;"
                f" test {100 * (best.test_error or 0):.2f} %)"
            )
    return rate


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of cifar-10-batches-py (default: ./data)")
    parser.add_argument("--minutes", type=positive(float), default=5, help="minutes to search")
    parser.add_argument("--workers", type=positive(int), help="workers (default: as in a search)")
    parser.add_argument("--workdir", help="run folder to keep (default: none)")
    parser.add_argument("--quick", action="store_true", help="search for 30 seconds")
    options = parser.parse_args()
    if not count_gpus():
        print("skipped: no GPU found (nvidia-smi -L lists GPUs).")
        return
    if options.quick:
        options.minutes = 0.5
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(options.workdir or Path(folder) / "run")
        search(options, workdir)
        rate = summarize(read_run(workdir))
    print(f"ratio: {rate * HOURS / FULL_SEARCH:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
