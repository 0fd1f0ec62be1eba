"""Space I scaled down to scikit-learn's digits, over several seeds.

    python experiments/digits.py --workdir RUNS [--seeds 3] [--quick]

The script runs the preset `digits` once per seed (about five minutes each on two CPU cores). For
each seed it prints the hypervolume of the trained initial networks and of the final front, and how
many files of the front, loaded with plain `keras.models.load_model` in a process that cannot import
lemonade_tf, differ from the recorded validation or test error.

Expected: see docs/measured.md.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import flags
from common import run_script

from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.presets import make_config
from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search import search

WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the run folders.", required=True)
SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, starting at 0.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Scale down to seconds to check that it runs.")

# Runs in another process, with plain Keras and without this package.
EVALUATE = """
import json, sys
sys.modules["lemonade_tf"] = None
import keras, numpy as np
data = np.load(sys.argv[1])
wrong = {}
for path in sys.argv[2:]:
    model = keras.models.load_model(path)
    wrong[path] = [
        float(np.mean(model.predict(data["x_" + part], verbose=0).argmax(1) != data["y_" + part]))
        for part in ("validation", "test")
    ]
print(json.dumps(wrong))
"""


def reevaluate(run, folder):
    """Return how many files of the front differ from the recorded errors, and their number."""
    data = load_dataset(run.config.dataset)
    images = folder / "images.npz"
    parts = {
        f"{axis}_{p}": getattr(data, f"{axis}_{p}") for axis in "xy" for p in ("validation", "test")
    }
    np.savez(images, **parts)
    files = {str(run.store.models.path(line.id)): line for line in run.front()}
    command = [sys.executable, "-c", EVALUATE, str(images), *files]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    errors = json.loads(output.splitlines()[-1])
    return sum(errors[path] != [line.error, line.test_error] for path, line in files.items()), len(
        files
    )


def main(_):
    root = Path(WORKDIR.value)
    for seed in range(1 if QUICK.value else SEEDS.value):
        preset = "quick" if QUICK.value else "digits"
        config = make_config(preset, workdir=str(root / f"seed-{seed}"), seed=seed)
        result = search(config, callbacks=[ProgressDisplay()])
        run = read_run(result.workdir)
        write_report(run)
        points = [line.objectives for line in run.front(0)]
        initial = front_hypervolume(run.objectives, points, run.config.reference_point)
        differing, files = reevaluate(run, root)
        print(
            f"seed {seed}: hypervolume of the initial networks {initial:.4f}, of the front"
            f" {result.hypervolume:.4f}; {len(run.trained)} networks, {files} on the front;"
            f" files whose error differs in plain Keras: {differing}"
        )


if __name__ == "__main__":
    run_script(main)
