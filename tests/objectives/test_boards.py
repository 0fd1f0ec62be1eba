"""Boards by name and from a file, the limits of a search, and the verdict."""

import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.objectives import INT8_ARENA, INT8_BYTES, ObjectiveError
from lemonade_tf.objectives.boards import BOARDS, Board, Fit, find_board
from lemonade_tf.search.continued_config import resumed_config

KIB = 1024


def test_every_board_leaves_room_for_a_network():
    for name, board in BOARDS.items():
        assert find_board(name) is board
        assert board.limits["int8_bytes"] >= 384 * KIB
        assert all(limit >= 64 * KIB for limit in board.limits.values())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.json", '{"flash": 1000000, "ram": 200000, "reserved_ram": 0}'),
        ("mine.toml", "flash = 1_000_000\nram = 200_000\nreserved_ram = 0"),
    ],
)
def test_a_board_from_a_file_limits_a_search_that_is_resumed_without_it(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    config = SearchConfig(board=path, limit={"parameters": 1e5})
    assert config.limit == {
        "parameters": 1e5,
        "int8_bytes": 1_000_000 - 128 * KIB,
        "int8_arena": 200_000,
    }
    path.unlink()
    assert resumed_config(config.as_json(), {}) == config
    given = SearchConfig(board="nano33", limit={"int8_bytes": 1e5})
    assert given.limit == {"int8_bytes": 1e5, "int8_arena": 224 * KIB}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("nano3", None, "unknown board 'nano3'; did you mean 'nano33'"),
        ("none.json", None, "cannot be read: No such file"),
        ("bad.json", "[", "is not the file of a board"),
        (
            "bad.toml",
            "flash = 5",
            "it has flash; expected flash and ram, and optionally name",
        ),
        ("more.toml", "flash = 5\nram = 5\nrom = 5", "expected flash and ram"),
        ("float.json", '{"flash": 1e6, "ram": 5}', "flash is 1000000.0; expected a number of byt"),
        (
            "small.json",
            '{"flash": 1000, "ram": 5}',
            "flash is 1,000 bytes, and 131,072 are reserved",
        ),
    ],
)
def test_errors(tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ObjectiveError, match=message):
        find_board(name)
    with pytest.raises(ConfigError, match="--board"):
        SearchConfig(board=name)


def test_the_verdict_states_the_numbers():
    board = Board("mine", 10_000, 10_000, 1_000, 2_000)
    assert str(Fit(board, 9_000, 8_000)) == (
        "FITS mine: 9,000 of 9,000 bytes of flash, arena 8,000 of 8,000 bytes of RAM (predicted)"
    )
    assert str(Fit(board, 9_000, 8_001, measured=True)).startswith("DOES NOT FIT mine")
    assert not Fit(board, 9_001, 8_000).fits


def test_sizes_depend_on_kernels_and_on_what_is_live():
    graph = Graph()
    at = graph.add("input", kinds.Input((16, 16, 3)))
    for number in (1, 2):
        at = graph.add(f"conv_{number}", kinds.Conv2D(8, 3), [at])
        at = graph.add(f"norm_{number}", kinds.BatchNormalization(), [at])
        at = graph.add(f"relu_{number}", kinds.ReLU(), [at])
    pooled = graph.add("pool", kinds.GlobalAveragePooling2D(), [at])
    graph.output = graph.add("logits", kinds.Dense(10), [pooled])
    # uint8 input, quantized input, two convolutions, mean, dense, uint8 output; all else is folded
    values, channels, operations = 9 * 3 * 8 + 9 * 8 * 8 + 8 * 10, 8 + 8 + 10, 7
    assert INT8_BYTES.value(graph) == pytest.approx(values + 26.7 * channels + 323 * operations)
    two_tensors = 2 * 16 * 16 * 8  # input and output of the second convolution
    overhead = 7.9 * channels + 190 * operations + 520
    assert INT8_ARENA.value(graph) == pytest.approx(two_tensors + overhead)
    late = graph.add("late", kinds.MaxPooling2D(16), ["relu_1"])  # keeps its input alive
    late = graph.add("flat", kinds.Flatten(), [late])
    graph.output = graph.add(
        "both", kinds.Add(), [graph.add("again", kinds.Dense(10), [late]), "logits"]
    )
    assert INT8_ARENA.value(graph) > two_tensors + overhead
