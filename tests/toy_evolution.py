"""Toy networks for the evolution: tuples of integers, with integer objectives."""

from lemonade_tf.evolution import Evaluation, Evolution, EvolutionSettings, Individual, evolve
from lemonade_tf.objectives import Objective

PARAMETERS = Objective("parameters", "log", compute=sum)
DEPTH = Objective("depth", "linear", compute=len)
SMALL = EvolutionSettings(num_generations=6, num_proposed=12, num_accepted=5)


def error(widths):
    """Return an error that decreases with the parameters, on the whole."""
    return 1000 // sum(widths) + sum((index + 1) * width for index, width in enumerate(widths)) % 11


def propose(parent, *, rng):
    """Lengthen, widen, narrow or shorten; the last two do not apply everywhere."""
    widths = parent.architecture
    index = int(rng.integers(len(widths)))
    kind = ("lengthen", "widen", "narrow", "shorten")[rng.integers(4)]
    before, width, after = widths[:index], widths[index], widths[index + 1 :]
    if (kind == "narrow" and width < 2) or (kind == "shorten" and len(widths) < 2):
        return None
    middle = {
        "lengthen": (width, width),
        "widen": (2 * width,),
        "narrow": (width // 2,),
        "shorten": (),
    }[kind]
    return before + middle + after, [{"operator": kind, "index": index}]


def append(parent, *, rng):
    """Propose an architecture that was never proposed before."""
    return (*parent.architecture, int(rng.integers(1, 10**9))), [{"operator": "append"}]


def evaluate(children):
    """Evaluate children in their order."""
    return [Evaluation(child.id, {"error": error(child.architecture)}) for child in children]


def initial_networks(architectures=((1,), (4, 4), (9, 9, 9)), cheap=(PARAMETERS,)):
    """Return evaluated individuals of generation 0."""
    return [
        Individual(
            generation=0,
            attempt=index,
            parent=None,
            operators=(),
            architecture=widths,
            cheap={objective.name: objective.value(widths) for objective in cheap},
            expensive={"error": error(widths)},
        )
        for index, widths in enumerate(architectures)
    ]


def evolution(initial=None, **changes):
    """Return an evolution of toy networks, with some arguments changed."""
    arguments = {
        "propose": propose,
        "cheap": (PARAMETERS,),
        "settings": SMALL,
        "seed": 7,
        "canonical_hash": repr,
        "same_architecture": lambda a, b: a == b,
    }
    return Evolution(initial_networks() if initial is None else initial, **{**arguments, **changes})


def evolved(initial=None, *, evaluate=evaluate, on_proposed=None, **changes):
    """Yield the generations of `evolution`."""
    return evolve(evolution(initial, **changes), evaluate, on_proposed=on_proposed)
