"""Token states of batches read from shards, beside a bare memory map and a dataset of Hugging Face (Arrow), one core.

    python benchmarks/shard_reading.py
    python benchmarks/shard_reading.py --functions 500 --dim 16 --repeats 2

All hold the same made-up states and give the same padded batches, of random functions. The limit is a flat file
whose offsets are numbers in memory.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up_data import made_up_lengths
from paired import compare, print_comparison
from safetensors.torch import save_file
from torch import Tensor

from sigjepa.data.dataset import pad_states
from sigjepa.store.files import write_json
from sigjepa.store.manifest import Manifest
from sigjepa.teacher.shards import TeacherShards

PER_SHARD, BATCH = 1024, 64


def write_shards(folder: Path, lengths: np.ndarray, states: Tensor) -> TeacherShards:
    """Write the files that `ShardStage` would, with token states of signatures alone, and open them."""
    ends, shards = np.cumsum(lengths), []
    for first in range(0, len(lengths), PER_SHARD):
        own = lengths[first : first + PER_SHARD]
        rows = states[ends[first] - lengths[first] : ends[first + len(own) - 1]].contiguous()
        offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(own)]))
        name = f"shard-{first // PER_SHARD:05d}.safetensors"
        save_file({"signature_states": rows, "signature_offsets": offsets}, folder / name)
        shards.append({"file": name, "first_id": first})
    facts = {"dim": states.shape[1], "functions": len(lengths), "shards": shards}
    return TeacherShards(Manifest(folder, "teacher", "made-up", {"body_states": False}, "made-up", facts, {}))


def memory_mapped(file: Path, lengths: np.ndarray, states: Tensor) -> Callable[[int], Tensor]:
    """Return how a function's states are read from a flat file."""
    states.numpy().tofile(file)
    flat = torch.from_numpy(np.memmap(file, states.numpy().dtype, "c", shape=tuple(states.shape)))
    offsets = [0, *np.cumsum(lengths).tolist()]
    return lambda function: flat[offsets[function] : offsets[function + 1]]


def arrow(folder: Path, lengths: np.ndarray, states: Tensor) -> Callable[[int], Tensor]:
    """Return how a function's states are read from a dataset of Hugging Face."""
    from datasets import Array2D, Dataset, Features, load_from_disk  # noqa: PLC0415 - seconds that it alone needs

    rows = [part.numpy() for part in states.split(lengths.tolist())]
    features = Features({"states": Array2D((None, states.shape[1]), "float16")})
    Dataset.from_dict({"states": rows}, features=features).save_to_disk(str(folder))
    dataset = load_from_disk(str(folder)).with_format("torch")
    return lambda function: dataset[function]["states"].half()


def reading(functions: int, dim: int, repeats: int) -> dict[str, Any]:
    """Return how long it takes to read every function once, in random order."""
    lengths = made_up_lengths(functions, 24, 0.75, 128, seed=0)
    states = torch.randn(int(lengths.sum()), dim, generator=torch.Generator().manual_seed(0)).half()
    batches = np.array_split(np.random.default_rng(0).permutation(functions), max(1, functions // BATCH))

    def batched(states_of: Callable[[int], Tensor]) -> list[float]:
        padded = (pad_states([states_of(i) for i in batch]) for batch in map(np.ndarray.tolist, batches))
        return [float(one[0, 0, 0]) + float(mask.sum()) for one, mask in padded]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder, lengths, states)
        flat = memory_mapped(folder / "flat", lengths, states)
        cases = {"sigjepa": lambda: batched(shards.signature_states), "memory map": lambda: batched(flat)}
        if find_spec("datasets"):
            dataset = arrow(folder / "arrow", lengths, states)
            cases["Arrow"] = lambda: batched(dataset)
        return compare(cases, equal, repeats)


def equal(found: Mapping[str, Sequence[float]]) -> None:
    """Raise AssertionError where a case read other states than the first."""
    first, *others = found.values()
    assert all(other == first for other in others)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=4096, help="made-up functions (default: 4096)")
    parser.add_argument("--dim", type=int, default=384, help="size of a state (default: 384)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/shard_reading.json"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    record = reading(options.functions, options.dim, options.repeats)
    write_json(options.output, record)
    print_comparison(f"batches of {options.functions:,} functions' states of {options.dim}", record)


if __name__ == "__main__":
    main()
