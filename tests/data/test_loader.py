"""Loader processes where /dev/shm is small or full, as in containers."""

import subprocess
import sys

import pytest

PRIVATE_SHM = ["unshare", "-r", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"', "sh"]
LOAD = """
import os
from pathlib import Path

import torch
from torch.utils.data import Dataset

from sigjepa.data.batch import Batch
from sigjepa.data.loader import BatchLoader
from sigjepa.errors import LostProcessError

class Large(Dataset):
    def __getitem__(self, ids):
        if ids == 9:
            os._exit(3)
        states = torch.full((4, 1000, 64), float(ids), dtype=torch.bfloat16)
        return Batch(torch.tensor([ids]), states, states[..., 0] == ids, states[:, 0])

for batch in BatchLoader(Large(), num_workers=2, sampler=[1, 2, 3, 4]):
    assert batch.signature_mask.all()
    print(int(batch.ids), batch.signature_states.dtype, float(batch.signature_states.float().mean()))
try:
    list(BatchLoader(Large(), num_workers=2, sampler=[1, 9]))
except LostProcessError as error:
    print("died:", error)
try:
    Path("/dev/shm/full").write_bytes(bytes(1 << 20))
except OSError:
    pass
try:
    list(BatchLoader(Large(), num_workers=2, sampler=[1]))
except LostProcessError as error:
    print("full:", error)
"""


@pytest.mark.skipif(
    subprocess.run([*PRIVATE_SHM, "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to mount a /dev/shm of its own",
)
def test_workers_need_no_room_in_dev_shm_and_say_why_they_cannot_run() -> None:
    done = subprocess.run(
        [*PRIVATE_SHM, sys.executable, "-c", LOAD], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[:4] == [f"{i} torch.bfloat16 {float(i)}" for i in (1, 2, 3, 4)], done.stderr
    assert [line.partition(":")[0] for line in lines[4:]] == ["died", "full"], done.stderr
    assert all("data.num_workers=0" in line for line in lines[4:])
