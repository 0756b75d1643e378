from benchmarks import verdicts


def test_the_simulation_of_verdicts_runs_and_rarely_errs():
    setting = verdicts.Setting(experiments=3, queries=200)
    null = verdicts.rates(setting, sweeps=20, gain=0.0)
    assert null["any false call"] <= 0.2
    assert null["the difference found"] == 0
    assert verdicts.rates(setting, sweeps=5, gain=0.4)["the difference found"] == 1
