from benchmarks import verdicts


def test_the_simulation_of_verdicts_runs_and_rarely_errs():
    setting = verdicts.Setting(experiments=3, queries=200)
    null = verdicts.rates(setting, sweeps=20, gain=0.0)
    assert null["any false call"] <= 0.2
    assert null["the difference found"] == 0
    unequal = verdicts.Setting(experiments=1, packages=3, package=0.2, shares=(0.9, 0.05, 0.05))
    assert verdicts.rates(unequal, sweeps=20, gain=0.0)["any false call"] <= 0.1
    assert verdicts.rates(setting, sweeps=5, gain=0.4)["the difference found"] == 1
