"""The decision whether to compile a training by XLA."""

from types import SimpleNamespace

from lemonade_tf.backends.compilation import CompilationCosts


def model(num_layers):
    return SimpleNamespace(layers=[None] * num_layers)


def test_at_first_the_values_of_an_h100_decide():
    costs = CompilationCosts()
    # 7.4 s of compiling; 2.1 ms saved per step.
    assert not costs.xla_pays(model(18), 3_400)
    assert costs.xla_pays(model(18), 3_600)
    assert costs.xla_pays(model(36), 1_800)
    # Four workers compile at the same time.
    assert not costs.xla_pays(model(18), 850, num_sharing=4)
    assert costs.xla_pays(model(18), 900, num_sharing=4)


def test_measured_seconds_replace_them():
    costs = CompilationCosts()
    for _ in range(50):
        costs.add_compiling(True, 3.0)
        costs.add_compiling(False, 1.0)
        costs.add_steps(model(10), True, 100, 1.0)  # 1 ms per step and layer
        costs.add_steps(model(10), False, 100, 2.0)
    # 2 s against 10 ms per step.
    assert not costs.xla_pays(model(10), 199)
    assert costs.xla_pays(model(10), 201)


def test_xla_does_not_pay_where_steps_are_slower():
    costs = CompilationCosts()
    for _ in range(50):
        costs.add_steps(model(10), True, 100, 2.0)
        costs.add_steps(model(10), False, 100, 1.0)
    assert not costs.xla_pays(model(10), 10**9)
