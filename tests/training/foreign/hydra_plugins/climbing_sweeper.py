"""A sweeper from another package, which asks for jobs in batches that depend on what the earlier ones came to."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


@dataclass
class ClimbingConf:
    _target_: str = "hydra_plugins.climbing_sweeper.ClimbingSweeper"
    key: str = "seed"
    start: int = 5
    study: str = "${hydra.sweep.dir}/study"


ConfigStore.instance().store(group="hydra/sweeper", name="climbing", node=ClimbingConf)


class ClimbingSweeper(Sweeper):
    """Go to the neighbor of the highest value, twice; ask for the place where it stands as well, so again and again."""

    def __init__(self, key, start, study, params=None):
        self.key, self.place, self.study = key, start, study

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        asked = 0
        for _ in range(2):
            places = [self.place - 1, self.place, self.place + 1, self.place]
            batch = [[*arguments, f"{self.key}={place}"] for place in places]
            returns = self.launcher.launch(batch, initial_job_idx=asked)
            asked += len(batch)
            values = [job.return_value for job in returns]
            self.place = places[values.index(max(values))]
        print(f"climbed to {self.place}; study in {self.study}", flush=True)
