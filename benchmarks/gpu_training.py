"""Training at the published size on a CUDA device, and the teacher beside the matrix rate; made-up shards, no download.

    python benchmarks/gpu_training.py                                   # every part, 4 minutes on an H100
    python benchmarks/gpu_training.py --parts exp1_4 --seconds 100
    python benchmarks/gpu_training.py --device cpu --functions 200 --dim 32 --epochs 2 --small   # does it run

Parts: `exp1_4` and `exp2_2` train with the states on the device and CUDA graphs, 39 epochs where the time holds;
`paths` times a step on the ordinary path, on the device, and recorded, and how far the weights of each are apart;
`operations` counts kernels, launches and waits of a step; `compiled` is torch.compile under the graphs; `teacher` is
the forward pass of Qwen2.5-Coder-3B's architecture with random weights. Each part has a bound in seconds, and what it
has by then is its result. The figures are written after each part. Made-up states teach nothing: only times count.
"""

import argparse
import json
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Callback
from made_up_data import made_up_data, made_up_lengths

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.data.resident import ResidentData
from sigjepa.data.training_data import TrainingData
from sigjepa.evaluation.metrics import build_metrics
from sigjepa.reporting.tables import markdown_table
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate, plain
from sigjepa.store.files import write_json
from sigjepa.teacher.backbone import Network
from sigjepa.teacher.batching import TokenSequences, token_budget_batches
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.training.callbacks import build_callbacks
from sigjepa.training.module import build_module

BOUNDS = {"exp1_4": 75, "paths": 35, "operations": 20, "exp2_2": 45, "teacher": 35, "compiled": 60}
"""Seconds of each part, by which what is left of `--seconds` is shared out."""
SOFT = 0.8
"""Of a part's seconds, when training stops, so that the part can still say what it has."""
BLOCK = 10
"""Steps that are timed together: the host runs ahead of the device, and waits each `trainer.log_every_n_steps`."""
SMALL = ["model.hidden_dim=16", "model.heads=2", "model.feedforward_dim=32"]
LIMITS = ["+trainer.limit_val_batches=0", "callbacks.best_checkpoint=null", "callbacks.resume_checkpoint=null"]
ORDINARY = ["data.device_resident=false", "callbacks.cuda_graphs=null"]
RESIDENT = ["data.device_resident=true", "callbacks.cuda_graphs=null"]
RECORDED = ["data.device_resident=true"]


class BoundError(Exception):
    """The seconds of a part are over."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise BoundError in what takes longer."""

    def over(number: int, frame: Any) -> None:
        raise BoundError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Clock(Callback):
    """Time of each block of steps, training epoch and pass over val; stops training when the seconds are over."""

    def __init__(self, seconds: float) -> None:
        self.until = time.perf_counter() + seconds
        self.training: list[float] = []
        self.validation: list[float] = []
        self.steps: list[float] = []
        self.epoch_steps: list[int] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the epoch's clock."""
        synchronize(pl_module.device)
        self.epoch = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the time, and stop when it is over."""
        self.steps.append(time.perf_counter())
        if self.steps[-1] > self.until:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The epoch is over; val was ranked in it."""
        now = time.perf_counter() - self.epoch
        self.training.append(now - sum(self.validation[len(self.training) :]))
        self.epoch_steps.append(len(self.steps) - sum(self.epoch_steps))

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """The epoch's steps are over."""
        synchronize(pl_module.device)
        self.pass_start = time.perf_counter()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The pass over val is over."""
        self.validation.append(time.perf_counter() - self.pass_start)

    def timed(self) -> dict[str, float]:
        """Return the milliseconds of a step, nothing where the steps were too few."""
        return {"milliseconds_a_step": 1000 * self.step_seconds()} if len(self.steps) >= 4 * BLOCK else {}

    def step_seconds(self) -> float:
        """Return the time of a step: the median of blocks of the later half, when most shapes came before."""
        ends = self.steps[BLOCK - 1 :: BLOCK]
        blocks = np.diff(ends[len(ends) // 2 :])
        if not len(blocks):
            raise BoundError(f"{len(self.steps)} steps are too few to time a block of {BLOCK}")
        return float(np.median(blocks)) / BLOCK


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Bench:
    """The parts; options: of the command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cuda = options.device == "cuda"
        self.data: dict[bool, TrainingData] = {}
        self.resident: dict[bool, ResidentData] = {}

    def of_data(self, body_states: bool) -> TrainingData:
        """Return the made-up data, made once."""
        if body_states not in self.data:
            self.data[body_states] = made_up_data(self.options.functions, self.options.dim, body_states)
        return self.data[body_states]

    def fit(self, experiment: str, overrides: list[str], seconds: float, epochs: int, *callbacks: Callback) -> Any:
        """Train as `sigjepa.train` does, with its callbacks, and return module, trainer, clock and seconds of fit."""
        clock, bodies = Clock(seconds), experiment == "exp2_2"
        data = self.of_data(bodies)
        with tempfile.TemporaryDirectory() as run_dir:
            student = {"exp1_4": "sig_predictor", "exp2_2": "token_predictor"}[experiment]
            words = [f"experiment={experiment}", "data=full", "logger=none", "seed=0"]
            words += ["callbacks.early_stopping=null", f"trainer.max_epochs={epochs}", "teacher.max_body_tokens=512"]
            words += [f"model={student}", *(SMALL if self.options.small else [])]
            words += ["trainer=gpu"] if self.cuda else ["trainer.accelerator=cpu"]
            config = compose([*words, "trainer.enable_progress_bar=false", *overrides], folder=run_dir)
            resolved = plain(config)
            metrics = build_metrics(resolved["metrics"], resolved["monitor"])
            lightning.seed_everything(0, verbose=False)
            datamodule: FunctionDataModule = instantiate(config.data, data=data)
            if datamodule.device_resident is True:
                datamodule.resident = self.resident.get(bodies)
            module = build_module(resolved, data.shards.dim, metrics)
            own = [*build_callbacks(resolved["callbacks"], metrics), clock, *callbacks]
            trainer: lightning.Trainer = instantiate(config.trainer, callbacks=own, logger=False)
            started = time.perf_counter()
            trainer.fit(module, datamodule=datamodule)
            synchronize(module.device)
            if datamodule.resident is not None:
                self.resident[bodies] = datamodule.resident  # taken there once, for all parts
            return module, trainer, clock, time.perf_counter() - started

    def whole(self, experiment: str, seconds: float) -> dict[str, Any]:
        """Return the time of training, 39 epochs of it by what was seen where the time did not hold."""
        reset_peak(self.cuda)
        _, trainer, clock, fit = self.fit(experiment, RECORDED, seconds * SOFT, self.options.epochs)
        an_epoch, done = trainer.num_training_batches, len(clock.steps)
        step, validation = clock.step_seconds(), float(np.median(clock.validation[1:] or clock.validation))
        measured = len(clock.validation) >= 39
        return {
            "functions": len(trainer.train_dataloader.sampler.ids),  # type: ignore[union-attr]
            "steps_an_epoch": an_epoch,
            "steps": done,
            "whole_epochs": sum(steps == an_epoch for steps in clock.epoch_steps),
            "fit_seconds": fit,
            "seconds_before_the_first_epoch": fit - sum(clock.training) - sum(clock.validation),
            "first_epoch_seconds": clock.training[0],
            "last_whole_epoch_seconds": whole_epochs(clock, an_epoch)[-1],
            "validation_seconds": validation,
            "milliseconds_a_step": 1000 * step,
            "whole_39_epochs_seconds": fit
            if measured
            else fit + (39 * an_epoch - done) * step + (39 - len(clock.validation)) * validation,
            "measured_whole": measured,
            "peak_gib": peak_gib(self.cuda),
        }

    def paths(self, seconds: float) -> dict[str, Any]:
        """Return the time of a step on each path, and how far the weights after them are apart without dropout."""
        steps = self.options.steps
        paths = {"ordinary": ORDINARY, "resident": RESIDENT, "recorded": RECORDED}
        weights, counts, result = {}, {}, {}
        self.of_data(False)
        for dropout, share, epochs in ((0.1, 0.22, 2), (0.0, 0.08, 1)):
            for name, words in paths.items():
                limits = [
                    *LIMITS,
                    f"+trainer.limit_train_batches={steps}",
                    "scheduler=none",
                    f"model.dropout={dropout}",
                ]
                module, _, clock, _ = self.fit("exp1_4", [*words, *limits], seconds * share, epochs)
                key = f"{name}, dropout {dropout}"
                weights[key] = torch.cat([value.detach().flatten() for value in module.model.parameters()])
                counts[key] = len(clock.steps)
                if epochs > 1:
                    result[key] = {"steps": len(clock.steps), **clock.timed()}
        for one, other, dropout in (
            ("ordinary", "resident", 0.0),
            ("resident", "recorded", 0.0),
            ("resident", "recorded", 0.1),
        ):
            left, right = f"{one}, dropout {dropout}", f"{other}, dropout {dropout}"
            if counts[left] == counts[right]:
                apart = (weights[left] - weights[right]).abs().mean() / weights[left].abs().mean()
                figures = {"mean_weight_difference": float(apart), "steps": counts[left]}
            else:
                figures = {"not_compared_steps": f"{counts[left]} and {counts[right]}"}
            result[f"{one} against {other}, dropout {dropout}"] = figures
        return result

    def operations(self, seconds: float) -> dict[str, Any]:
        """Return kernels, launches and waits of a step of each path, by the profiler over some log intervals."""
        result = {}
        for name, words in {"resident": RESIDENT, "recorded": RECORDED}.items():
            window = Window(self.cuda)
            self.fit("exp1_4", [*words, *LIMITS], seconds * 0.4, 1, window)
            result[name] = window.medians()
        return result

    def compiled(self, seconds: float) -> dict[str, Any]:
        """Return the time of a step with torch.compile under the graphs and of graphs alone, batches of one shape."""
        self.resident.pop(False, None)
        self.data[False] = made_up_data(min(8192, self.options.functions), self.options.dim, False, spread=0.0)
        words = [
            *RECORDED,
            *LIMITS,
            "callbacks.cuda_graphs.after=1",
        ]
        result = {}
        try:
            for name, compiled in (("recorded", "false"), ("compiled", "true")):
                started = time.perf_counter()
                overrides = [*words, f"callbacks.cuda_graphs.torch_compile={compiled}"]
                _, _, clock, _ = self.fit("exp1_4", overrides, seconds * SOFT / 2, 4)
                result[name] = {
                    **clock.timed(),
                    "longest_step_seconds": float(np.diff(clock.steps).max()),
                    "seconds": time.perf_counter() - started,
                }
        finally:
            self.data.pop(False)
            self.resident.pop(False, None)
        return result

    def teacher(self, seconds: float) -> dict[str, Any]:
        """Return tokens a second of `FrozenTeacher.encode` and its share of the measured matrix rate."""
        from transformers import AutoModel, Qwen2Config  # noqa: PLC0415 - seconds that only this part needs

        sizes = {"hidden_size": 2048, "num_hidden_layers": 36, "intermediate_size": 11008}
        sizes |= {"num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936}
        if self.options.small:
            sizes |= {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 128}
            sizes |= {"num_attention_heads": 2}
        device = torch.device(self.options.device)
        dtype = torch.bfloat16 if self.cuda else torch.float32
        torch.set_default_dtype(dtype)
        try:
            with device:
                model = AutoModel.from_config(Qwen2Config(**sizes, max_position_embeddings=32768)).eval()
        finally:
            torch.set_default_dtype(torch.float32)
        started = time.perf_counter()
        teacher = made_up_teacher(model, device, dtype, self.options.texts, sizes["vocab_size"], 512)
        weights = sum(p.numel() for name, p in model.named_parameters() if "layers." in name and p.ndim == 2)
        all_lengths = made_up_lengths(self.options.texts, 102, 1.0, 512, seed=1)
        rate = matrix_rate(device, dtype)
        result: dict[str, Any] = {"tera_operations_a_second_of_matrices": rate / 1e12}
        warm = min(self.options.texts, 200)
        for _ in range(2):  # the second is warm, and says how many texts the time holds
            began = time.perf_counter()
            teacher.encode([""] * warm, 512, keep_states=True)
            synchronize(device)
            took = time.perf_counter() - began
        left = seconds * SOFT - (time.perf_counter() - started)
        texts = int(min(self.options.texts, max(warm, warm * left / took / 3)))
        lengths = all_lengths[:texts]
        # a causal token attends to half of its text: two products of the width of all heads
        attention = 2 * sizes["num_hidden_layers"] * sizes["hidden_size"] * float((lengths.astype(float) ** 2).sum())
        operations = 2 * weights * float(lengths.sum()) + attention
        padded = sum(int(lengths[b].max()) * len(b) for b in token_budget_batches(lengths, teacher.tokens_per_batch))
        for name, keep in (("pooled", False), ("states kept", True)):
            synchronize(device)
            began = time.perf_counter()
            teacher.encode([""] * texts, 512, keep_states=keep)
            synchronize(device)
            took = time.perf_counter() - began
            result[name] = {
                "texts": texts,
                "tokens_a_second": float(lengths.sum()) / took,
                "share_of_matrix_rate": operations / took / rate,
                "fill": float(lengths.sum()) / padded,
            }
        return result


def whole_epochs(clock: Clock, steps: int) -> list[float]:
    """Return the seconds of the training epochs that were not cut short; not a number where there is none."""
    whole = [took for took, done in zip(clock.training, clock.epoch_steps, strict=True) if done == steps]
    return whole or [float("nan")]


class Window(Callback):
    """Counts what some log intervals did, by the profiler, once graphs are there; then stops training."""

    def __init__(self, cuda: bool, first: int = 20, windows: int = 5) -> None:
        self.cuda, self.first, self.windows = cuda, first * BLOCK, windows
        self.counts: list[dict[str, float]] = []
        self.profiler: torch.profiler.profile | None = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Begin and end behind a step whose figures were read; every second interval is counted."""
        seen = min(self.first, trainer.num_training_batches // (4 * BLOCK) * BLOCK)
        if (batch_idx + 1) % BLOCK or batch_idx + 1 < seen:
            return
        if self.profiler is None:
            activities = [torch.profiler.ProfilerActivity.CPU]
            if self.cuda:
                activities.append(torch.profiler.ProfilerActivity.CUDA)
            synchronize(pl_module.device)
            self.profiler = torch.profiler.profile(activities=activities)
            self.profiler.start()
            return
        self.profiler.stop()
        self.counts.append(counts_of(self.profiler.events() or []))
        self.profiler = None
        trainer.should_stop = trainer.should_stop or len(self.counts) == self.windows

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close an interval that was cut short."""
        if self.profiler is not None:
            self.profiler.stop()

    def medians(self) -> dict[str, float]:
        """Return the median of each count; raises BoundError where no interval was counted."""
        if not self.counts:
            raise BoundError("no interval of steps was counted")
        keys = sorted(set().union(*self.counts))
        medians = {key: float(np.median([counts.get(key, 0.0) for counts in self.counts])) for key in keys}
        return medians | {"intervals": len(self.counts)}


def counts_of(events: Any) -> dict[str, float]:
    """Return what the profiler saw in a block of steps."""
    on_device = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA and not e.is_user_annotation]
    names = [event.name for event in events if event.device_type == torch.autograd.DeviceType.CPU]
    copies = sum("Memcpy" in event.name or "Memset" in event.name for event in on_device)
    launches = ("LaunchKernel", "GraphLaunch", "MemcpyAsync", "MemsetAsync")
    waits = [name for name in names if name.startswith("cuda") and name.endswith("Synchronize")]
    return {
        "kernels_a_step": (len(on_device) - copies) / BLOCK,
        "copies_a_step": copies / BLOCK,
        "launches_a_step": sum(any(launch in name for launch in launches) for name in names) / BLOCK,
        "aten_operations_a_step": sum(name.startswith("aten::") for name in names) / BLOCK,
        "device_milliseconds_a_step": sum(event.device_time_total for event in on_device) / 1000 / BLOCK,
        **{f"{name}_in_{BLOCK}_steps": float(number) for name, number in Counter(waits).items()},
    }


def made_up_teacher(
    model: Any, device: torch.device, dtype: torch.dtype, texts: int, vocabulary: int, most: int
) -> FrozenTeacher:
    """Return a teacher around a model without weights or tokenizer, whose texts are random tokens."""
    name = str(dtype).removeprefix("torch.")
    limits = {"max_signature_tokens": 128, "max_body_tokens": most, "tokens_per_batch": 16384}
    dim = model.config.hidden_size
    given = {"pool_special_tokens": False, "dim": dim, "dtype": name, "storage_dtype": "bfloat16"}
    teacher = FrozenTeacher("made-up", "made-up", **limits, **given)
    network = Network.__new__(Network)
    network.model, network.device, network.padding_side, network.pad_token = model, device, "right", 0
    network.takes_positions = network.takes_cache = True
    lengths = made_up_lengths(texts, 102, 1.0, most, seed=1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.random.default_rng(0).integers(0, vocabulary, offsets[-1])

    def tokenized(texts: Sequence[str], max_tokens: int, keep_special: bool) -> TokenSequences:
        end = offsets[len(texts)]
        return TokenSequences(tokens[:end], np.ones(end, dtype=bool), offsets[: len(texts) + 1], 0)

    network.tokenize = tokenized  # type: ignore[method-assign]
    teacher.__dict__["_network"] = network
    return teacher


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations a second of the best of some products of large matrices."""
    size = 8192 if device.type == "cuda" else 256
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(10):
            left @ right
        synchronize(device)
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - started))
    return best


def reset_peak(cuda: bool) -> None:
    """Begin to watch the device's memory."""
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(cuda: bool) -> float:
    """Return the most memory of the device that was in use."""
    return torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0


def device_name(cuda: bool) -> str:
    """Return what the device calls itself."""
    return torch.cuda.get_device_name() if cuda else "cpu"


def rows_of(result: dict[str, Any]) -> list[list[str]]:
    """Return a row for each figure of each part."""
    rows = []
    for part, figures in result["parts"].items():
        for name, value in figures.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            for key, figure in inner:
                shown = f"{figure:.4g}" if isinstance(figure, float) else str(figure)
                rows.append([part, f"{name} {key}".strip(), shown])
    return rows


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=BOUNDS, default=list(BOUNDS), help="which (default: all)")
    parser.add_argument("--seconds", type=float, default=sum(BOUNDS.values()), help="of all, with the making of data")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu only shows that it runs")
    parser.add_argument("--functions", type=int, default=50_835, help="in all splits (default: 50835)")
    parser.add_argument("--dim", type=int, default=2048, help="of a state (default: 2048)")
    parser.add_argument("--epochs", type=int, default=39, help="of exp1_4 and exp2_2 (default: 39)")
    parser.add_argument("--steps", type=int, default=150, help="of the other parts (default: 150)")
    parser.add_argument("--texts", type=int, default=4000, help="that the teacher reads (default: 4000)")
    parser.add_argument("--small", action="store_true", help="student and teacher of a fraction of the size")
    parser.add_argument("--commit", help="what is measured, for docs/performance.md")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu_training.json"))
    options = parser.parse_args(words)
    bench = Bench(options)
    parts: dict[str, Callable[[float], dict[str, Any]]] = {
        "exp1_4": lambda seconds: bench.whole("exp1_4", seconds),
        "exp2_2": lambda seconds: bench.whole("exp2_2", seconds),
        **{name: getattr(bench, name) for name in ("paths", "operations", "compiled", "teacher")},
    }
    result: dict[str, Any] = {"device": device_name(bench.cuda), "torch": torch.__version__, "commit": options.commit}
    result |= {"parts": {}, "failed": {}}
    end, names = time.perf_counter() + options.seconds, list(options.parts)
    for place, name in enumerate(names):
        started = time.perf_counter()
        bound = (end - started) * BOUNDS[name] / sum(BOUNDS[other] for other in names[place:])
        try:
            with bounded(bound):
                result["parts"][name] = parts[name](bound)
        except Exception:  # noqa: BLE001 - the other parts are measured all the same, and it is told
            result["failed"][name] = traceback.format_exc()
        result["parts"].setdefault(name, {})["seconds_of_the_part"] = time.perf_counter() - started
        write_json(options.output, result)
        print(json.dumps({name: result["parts"][name]}), flush=True)
    print(markdown_table(["part", "figure", "value"], rows_of(result)))
    for name, error in result["failed"].items():
        print(f"{name} failed:\n{error}")
    if result["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
