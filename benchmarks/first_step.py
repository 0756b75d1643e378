"""A callback of Lightning that notes the CPU time of its process when the first step of a training begins."""

import json
import time
from pathlib import Path
from typing import Any

from lightning import Callback


class FirstStep(Callback):
    """Write the seconds to a file, once."""

    def __init__(self, output: str) -> None:
        self.output = Path(output)

    def on_train_batch_start(self, *_: Any) -> None:
        """Note the time."""
        if not self.output.exists():
            self.output.write_text(json.dumps(time.process_time()))
