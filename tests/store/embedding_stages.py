"""A stage of a teacher that says when its model is loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.store.stage import Part
from sigjepa.teacher.stage import ShardStage


@dataclass(frozen=True)
class CountsLoads(ShardStage):
    """Shards; `log` notes for each part which model, in which process, has embedded it."""

    log: str = ""

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        facts = super().build(part, out)
        with Path(self.log).open("a") as stream:
            stream.write(f"{os.getpid()}-{id(self.teacher._network)}\n")
        return facts
