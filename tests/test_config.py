import json

import numpy as np
import pytest

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.objectives import PARAMETERS
from lemonade_tf.presets import PRESETS, command_line, given_names, make_config, preset_for
from lemonade_tf.search.start import default_workdir
from lemonade_tf.training.settings import TrainingSettings


def test_the_defaults_are_the_papers():
    config = SearchConfig()
    assert (config.num_generations, config.num_proposed, config.num_accepted) == (100, 200, 40)
    training = config.training
    assert (training.epochs, training.distillation_epochs, training.batch_size) == (20, 5, 64)
    assert (training.learning_rate, training.weight_decay) == (0.01, 5e-4)
    assert (training.flip, training.mixup) == (True, 1.0)
    assert (training.pad, training.cutout) == (None, None)  # by the size of the images
    assert config.objectives == ("error", "parameters")
    assert make_config("paper") == config


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_what_it_lists_and_leaves_the_rest(preset):
    flat, defaults = make_config(preset).as_json(), SearchConfig().as_json()
    changed = {name for name in flat if flat[name] != defaults[name]}
    assert changed == set(PRESETS[preset]) - {"dataset"}  # digits are the default, too
    assert SearchConfig.from_flat(flat) == make_config(preset)


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no setting 'epoch'; did you mean 'epochs'\?"):
        make_config(epoch=3)


def test_the_default_preset_depends_on_data_set_and_space():
    assert preset_for("digits") == "digits"
    assert preset_for("images.npz") == preset_for("images.npz", "cells") == "paper"
    assert preset_for("digits", "cells") == "digits_cells"
    assert make_config(space="cells") == make_config("digits_cells")
    assert make_config(dataset="images.npz", space="cells").filters == (128, 256)
    assert make_config() == make_config("digits")
    assert make_config(dataset="images.npz").num_generations == 100
    assert make_config("digits", epochs=7).training.epochs == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"--epochs is 0; expected an integer of at least 1"),
        ({"seed": -1}, r"--seed is -1"),
        ({"workers": 0}, r"--workers is 0"),
        ({"executor": "slurm"}, r"--executor is 'slurm'; expected one of processes, ray"),
        ({"gpus_per_child": 1.5}, r"--gpus_per_child is 1.5; expected a whole number, or a frac"),
        ({"gpus_per_child": -0.5}, r"--gpus_per_child is -0.5; expected a whole"),
        ({"num_accepted": 300}, r"--num_accepted is 300; expected at most --num_proposed, 200"),
        ({"learning_rate": 0.0}, r"--learning_rate is 0.0; expected more than 0"),
        ({"learning_rate": float("nan")}, r"--learning_rate is nan"),
        ({"distillation_learning_rate": 0.0}, r"--distillation_learning_rate is 0.0"),
        ({"weight_decay": -1.0}, r"--weight_decay is -1.0"),
        ({"mixup": -0.5}, r"--mixup is -0.5; expected at least 0"),
        ({"pad": -1}, r"--pad is -1"),
        ({"cutout": 1.5}, r"--cutout is 1.5; expected an integer"),
        ({"max_hours": 0.0}, r"--max_hours is 0.0"),
        ({"space": "cell"}, r"--space is 'cell'; expected one of networks, cells"),
        ({"mode": "async"}, r"--mode is 'async'; expected one of generational, asynchronous"),
        ({"replay": "runs/1"}, r"--replay is runs/1 and --mode generational; expected --mode asy"),
        ({"filters": (16, 30)}, r"--filters is \(16, 30\); expected multiples of 4 of at least 16"),
        ({"filters": (12,)}, r"--filters is \(12,\); .* at least 16"),
        ({"filters": ()}, r"--filters is \(\)"),
        ({"initial_width": 0.0}, r"--initial_width is 0.0; expected a factor greater than 0"),
        ({"width_multiple": 0}, r"--width_multiple is 0; expected an integer of at least 1"),
        ({"cells_per_block": 0}, r"--cells_per_block is 0; expected an integer of at least 1"),
        (
            {"approximate_start": "best"},
            r"--approximate_start is 'best'; expected one of fitted, inherited, random",
        ),
        ({"distillation_memory": -0.5}, r"--distillation_memory is -0.5; expected at least 0"),
        ({"sampling": "best"}, r"--sampling is 'best'; expected one of density, uniform"),
        (
            {"inheritance": "none", "initial_run": "runs/a"},
            "--inheritance none starts from the initial networks of the space; omit",
        ),
        ({"objectives": ("error", "size")}, r"--objectives: unknown objective 'size'; expected"),
        (
            {"objectives": ["error", PARAMETERS]},
            r"--objectives contains the objective 'parameters' itself; expected names, by which",
        ),
        ({"objectives": ("error",)}, r"--objectives: .* at least one cheap objective"),
        ({"objectives": ("parameters",)}, r"--objectives: .* expected error"),
        ({"objectives": ("error", "parameters", "error")}, r"--objectives: .* duplicate name"),
    ],
)
def test_an_invalid_value_is_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig.from_flat(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": (16,)}, "--filters has no effect here; .* use --space cells"),
        ({"cells_per_block": 1, "preset": "quick"}, "--cells_per_block has no effect here"),
        (
            {"latency_table": "runs/a"},
            "--latency_table has no effect here; .* one of latency, lite_lat",
        ),
        ({"latency_protocol": "paper"}, "--latency_protocol has no effect"),
        ({"decay_factor": 0.1}, "--decay_factor has no effect here; .* use --schedule step"),
        ({"momentum": 0.0, "nesterov": False}, "--nesterov has no effect here"),
        (
            {"inheritance": "none", "approximate_start": "random"},
            "--approximate_start has no effect here; omit it, or omit --inheritance",
        ),
        ({"ray_address": "auto"}, "--ray_address has no effect here; .* use --executor ray"),
        ({"gpus_per_child": 0.5}, "--gpus_per_child has no effect here; .* use --executor ray"),
        (
            {"strategy": "mirrored", "executor": "ray"},
            "--strategy has no effect here; omit it, or use --gpus_per_child 2",
        ),
        (
            {"strategy": "mirrored", "jit_compile": "always"},
            "--jit_compile has no effect here; omit it, or omit --strategy",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**settings)


def test_infinite_hours_mean_no_limit():
    config = make_config(max_hours=float("inf"), max_child_hours=float("inf"))
    assert (config.max_hours, config.max_child_hours) == (None, None)
    json.dumps(config.as_json(), allow_nan=False)


def test_a_time_budget_starts_narrow_and_without_regularization():
    usual, paper = make_config(dataset="cifar10", minutes=5.0), make_config("paper", minutes=5.0)
    assert (usual.initial_width, usual.training.mixup, usual.training.cutout) == (0.25, 0.0, 0)
    assert (paper.initial_width, paper.training.mixup, paper.training.cutout) == (1.0, 1.0, None)
    given = make_config(dataset="cifar10", minutes=5.0, mixup=1.0, initial_width=1.0)
    assert (given.initial_width, given.training.mixup, given.training.cutout) == (1.0, 1.0, 0)
    assert "--mixup 1.0" in command_line(given.as_json())
    assert "--cutout" not in command_line(given.as_json())


def test_a_time_budget_samples_by_improvement():
    assert make_config(minutes=5.0).sampling == "improvement"
    assert make_config(minutes=5.0, sampling="density").sampling == "density"
    assert make_config("paper", minutes=5.0).sampling == "density"
    for sampling in ("density", "improvement"):  # what a command repeats, and what a user gave
        config = make_config(minutes=5.0, sampling=sampling)
        is_usual = sampling == "improvement"
        assert ("--sampling" not in command_line(config.as_json())) is is_usual
        assert ("sampling" not in given_names(config, {})) is is_usual


def test_a_time_budget_and_the_preset_minute_break_ties():
    assert make_config("minute").tie_break == make_config(minutes=5.0).tie_break == "cross_entropy"
    assert make_config("paper", minutes=5.0).tie_break == "none"
    assert {make_config(name).tie_break for name in PRESETS if name != "minute"} == {"none"}
    given = make_config(minutes=5.0, tie_break="none").as_json()
    assert "--tie_break none" in command_line(given)
    older = {name: value for name, value in given.items() if name != "tie_break"}
    assert "--tie_break none" in command_line(older)  # it broke no ties, either
    with pytest.raises(
        ConfigError, match=r"--tie_break is 'loss'; expected one of none, cross_entropy"
    ):
        make_config(tie_break="loss")


def test_settings_of_cells_and_of_inference_times_have_an_effect():
    assert make_config(space="cells", filters=(16,), cells_per_block=1).filters == (16,)
    of_time = {"latency_protocol": "paper"}
    assert make_config(objectives=("error", "lite_latency"), **of_time).latency_protocol == "paper"
    assert make_config(limit={"latency": 0.1}, **of_time).latency_protocol == "paper"


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="--preset is 'papers'; expected one of paper, digits"):
        make_config("papers")


def test_settings_are_recorded_side_by_side_and_read_back():
    config = make_config("digits", epochs=3, limit={"parameters": 1e6})
    flat = json.loads(json.dumps(config.as_json()))
    assert flat["objectives"] == ["error", "parameters"]
    assert flat["filters"] == [32, 64]
    assert (flat["epochs"], flat["momentum"], flat["seed"]) == (3, 0.9, 0)
    assert set(flat) == set(SearchConfig.names())
    assert SearchConfig.from_flat(flat) == config


def test_the_default_folder_is_the_first_that_does_not_exist(tmp_path):
    assert default_workdir("digits", tmp_path) == tmp_path / "digits-1"
    (tmp_path / "digits-1").mkdir()
    assert default_workdir("digits", tmp_path) == tmp_path / "digits-2"
    assert default_workdir("/data/flowers.npz", tmp_path) == tmp_path / "flowers-1"


@pytest.mark.parametrize("value", [5, None, (3,)])
def test_initial_models_that_are_no_paths_are_refused(value):
    with pytest.raises(ConfigError, match=r"^--initial_models is .*; expected a tuple such as"):
        SearchConfig(initial_models=value)


def test_numbers_of_numpy_are_recorded_as_plain_ones():
    config = SearchConfig(
        seed=np.int64(3),
        max_hours=np.float64(0.5),
        filters=(np.int32(16), 32),
        limit={"parameters": np.float32(1000)},
        training=TrainingSettings(epochs=np.int16(2), learning_rate=np.float64(0.1), flip=np.True_),
    )
    assert json.loads(json.dumps(config.as_json())) == config.as_json()
    assert (config.seed, config.filters) == (3, (16, 32))
    assert config.limit["parameters"] == 1000
    assert (config.training.epochs, config.training.flip) == (2, True)
