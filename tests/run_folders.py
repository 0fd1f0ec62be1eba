"""What the tests of run folders share."""

from lemonade_tf.store import ImagesRecord, NetworkRecord, ProposalRecord, RunConfig

IMAGES = ImagesRecord(10, [8, 8, 1], {"training": 80, "validation": 10, "test": 10}, "0" * 64)
CONFIG = RunConfig(
    settings={
        "space": "networks",
        "dataset": "digits",
        "objectives": ["error", "parameters"],
        "seed": 3,
        "num_generations": 2,
        "num_accepted": 4,
    },
    images=IMAGES,
    num_initial=3,
    reference_point={"error": 0.9, "parameters": 500_000},
)


def network(id_, **more):
    """The record of a network; what is not given is made up."""
    record = {
        "id": id_,
        "generation": int(id_.partition("-")[0]),
        "parent": None,
        "operators": [],
        "architecture_hash": id_,
        "objectives": {},
        "losses": [],
        "distillation_losses": [],
    }
    return NetworkRecord(**{**record, **more})


def proposal(id_, **more):
    """The record of a proposal; what is not given is made up."""
    record = {
        "id": id_,
        "generation": int(id_.partition("-")[0]),
        "parent": "0-0",
        "operators": [],
        "cheap_objectives": {},
        "outcome": "accepted",
    }
    return ProposalRecord(**{**record, **more})


def files_in(folder):
    """The files in a folder and below it, sorted."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
