#!/usr/bin/env bash
# From a folder of pictures to a LiteRT file. Options such as --seed 1 are passed on to the search.
set -euo pipefail

# The digits of scikit-learn stand for your pictures: a folder for each class. If you have some
# already, go on with the next command.
python - <<'PYTHON'
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target)):
    folder = Path("pictures", f"digit_{label}")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((15.9 * pixels).astype("uint8")).save(folder / f"{number}.png")
PYTHON

# `--preset minute` makes this a small search. For your pictures, say how long it may take instead,
# such as `--minutes 60`.
lemonade-tf search --dataset pictures --preset minute --workdir pictures_run "$@"

# The knee of the front: the network beyond which little accuracy is gained for much size. Another
# rule is "smallest: error<=0.05". The file is run by LiteRT and compared with the network before it
# is kept; the names of the classes are beside it.
lemonade-tf export pictures_run --best knee --format tflite --output digits.tflite
cat digits.labels.txt
