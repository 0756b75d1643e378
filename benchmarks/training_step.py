"""A training step of `sigjepa.train` beside a bare PyTorch loop and beside its matrix products, on one core.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --parts small mined --repeats 9

Parts: `published` is Exp 1.4 with the published student and 2048-d states; `small` and `mined` are Exp 1.4 and 2.1 with
a student of 8-d, whose mathematics costs nothing: what is left is what a step costs beside it; `dropout` is the bare
loop with dropout's masks beside one without; `flagship` is the lexical student on real functions beside its own matrix
and sparse products. Ours is Lightning's loop with our callbacks, loader, loss terms and logging; the bare loop has its
batches and their masks in memory. After an epoch both must have the same weights. States and vectors are made up; the
code is the standard library's.
"""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning import Callback
from made_up_data import MadeUpShards, made_up_corpus, made_up_data
from matrix_products import products_of
from omegaconf import DictConfig
from paired import Timed, compare, print_comparison
from standard_library import functions
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data import views
from sigjepa.data.batch import Batch
from sigjepa.data.training_data import TrainingData
from sigjepa.data.views import TermRows
from sigjepa.evaluation.metrics import build_metrics
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.lexicon import Lexicon
from sigjepa.losses.candidates import in_batch_candidates, union_candidates
from sigjepa.losses.loss import Progress
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate, plain
from sigjepa.store.files import write_json
from sigjepa.store.store import Store
from sigjepa.training.callbacks import build_callbacks
from sigjepa.training.module import SigJepaModule, build_module
from sigjepa.training.optimizer import build_optimizer, parameter_groups

WITHOUT = ("best_checkpoint", "resume_checkpoint", "early_stopping")
SMALL = ["model.hidden_dim=8", "model.heads=2", "model.feedforward_dim=8"]
NEIGHBORS = 8


class EpochTimer(Callback):
    """Seconds from the first batch of the training epoch to its end."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.seconds = -process_time()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop the clock."""
        self.seconds += process_time()


def config_of(words: list[str], folder: str, *last: str) -> DictConfig:
    """Return the config of a run without what is written once an epoch; last: words that come behind the others."""
    callbacks = [f"callbacks.{name}=null" for name in WITHOUT]
    more = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    more += ["+trainer.limit_val_batches=0", "logger=none"]
    return compose([*words, *callbacks, *more, *last], folder=folder)


def module_of(config: DictConfig, data: TrainingData) -> SigJepaModule:
    """Return the module of a run, of the same weights each time."""
    resolved = plain(config)
    lightning.seed_everything(0, verbose=False)
    return build_module(resolved, data.shards.dim, build_metrics(resolved["metrics"], resolved["monitor"]))


def weights_of(module: nn.Module) -> Tensor:
    """Return all weights of the student, one after the other."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def framework_epoch(config: DictConfig, data: TrainingData) -> Timed:
    """Return the seconds of an epoch as `sigjepa.train` runs it, and the weights after it."""
    module, timer = module_of(config, data), EpochTimer()
    callbacks = [*build_callbacks(plain(config)["callbacks"], module.metrics), timer]
    trainer: lightning.Trainer = instantiate(config.trainer, callbacks=callbacks, logger=False)
    trainer.fit(module, datamodule=instantiate(config.data, data=data))
    return Timed(timer.seconds, weights_of(module.model))


def batches_of(config: DictConfig, data: TrainingData) -> list[Batch]:
    """Return the batches of the first epoch."""
    return list(instantiate(config.data, data=data).train_dataloader())


def bare_epoch(config: DictConfig, batches: list[Batch], dim: int) -> Timed:
    """Return the seconds of an epoch of the plainest loop that trains the same student with the same equation."""
    lightning.seed_everything(0, verbose=False)
    model: nn.Module = instantiate(config.model, teacher_dim=dim)
    log_temperature = nn.Parameter(torch.tensor(0.07).log())
    optimizer = instantiate(config.optimizer)([*parameter_groups(model), {"params": [log_temperature]}])
    scheduler = instantiate(config.scheduler)(optimizer, len(batches))
    candidates = [(in_batch_candidates if b.negatives is None else union_candidates)(b) for b in batches]
    parameters = [*model.parameters(), log_temperature]
    began = process_time()
    for batch, given in zip(batches, candidates, strict=True):
        prediction = model(batch.signature_states, batch.signature_mask).pooled
        scores = F.normalize(prediction, dim=-1) @ F.normalize(given.embeddings, dim=-1).T
        logits = (scores / log_temperature.exp()).masked_fill(given.excluded, -torch.inf)
        optimizer.zero_grad()
        F.cross_entropy(logits, given.labels).backward()
        nn.utils.clip_grad_norm_(parameters, config.trainer.gradient_clip_val)
        optimizer.step()
        scheduler.step()
    return Timed(process_time() - began, weights_of(model))


def agree(found: Mapping[str, Any]) -> None:
    """Raise AssertionError where the weights after an epoch are not the same up to rounding."""
    ours, theirs = found["sigjepa"], found["bare loop"]
    apart = float((ours - theirs).abs().mean() / theirs.abs().mean())
    assert apart < 1e-3, f"the weights are {apart:.1e} of their size apart"


def mined(data: TrainingData) -> TrainingData:
    """Return the data with hard negatives that are made up: other functions of train."""
    train, generator = data.train_ids, np.random.default_rng(0)
    found = np.concatenate([generator.choice(train[train != anchor], NEIGHBORS, replace=False) for anchor in train])
    negatives = CSR.from_sorted(np.repeat(train, NEIGHBORS), found)
    empty = CSR.from_sorted(np.zeros(0, np.int64), np.zeros(0, np.int64))
    number = len(found)
    return replace(
        data, hard_negatives=HardNegatives(negatives, np.zeros(number, np.int8), np.full(number, 0.7), empty)
    )


def in_batch(words: list[str], data: TrainingData, repeats: int, products: bool = False) -> dict[str, Any]:
    """Return how long an epoch takes beside the bare loop and, where asked for, beside its matrix products."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(words, folder)
        batches = batches_of(config, data)
        cases: dict[str, Callable[[], Any]] = {
            "sigjepa": lambda: framework_epoch(config, data),
            "bare loop": lambda: bare_epoch(config, batches, data.shards.dim),
        }
        if products:
            cases["matrix products"] = products_of(lambda: bare_epoch(config, batches, data.shards.dim)).run
        return per_step(compare(cases, agree, repeats), len(batches))


def per_step(record: dict[str, Any], steps: int) -> dict[str, Any]:
    """Add the milliseconds of a step that ours takes beyond the first of its peers."""
    ours, first, *_ = record["seconds"].values()
    return record | {"steps": steps, "milliseconds_more_a_step": 1000 * (ours - first) / steps}


def lexical_data(number: int, dim: int) -> TrainingData:
    """Return functions of the standard library with their terms, and vectors of both halves that are made up."""
    found = functions(number)
    shards = MadeUpShards(number, dim, body_states=False)
    found = [found[i % number] for i in range(len(shards))]  # shards are of a multiple of functions
    columns = {name: [getattr(each, name) for each in found] for name in ("signature", "body")}
    columns["repository"] = [each.path.partition("/")[0] for each in found]
    terms = extract_terms(columns["signature"], columns["body"])[0]
    ids = np.arange(len(found))
    corpus = made_up_corpus(lambda split: ids, columns.__getitem__)
    lexicon = cast(Lexicon, SimpleNamespace(terms=terms))
    return TrainingData(corpus, shards, cast(Store, None), opened_lexicon=lexicon)


def flagship(number: int, dim: int, repeats: int) -> dict[str, Any]:
    """Return how long an epoch of the lexical student takes beside its matrix and sparse products."""
    data = lexical_data(number, dim)
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(["experiment=flagship"], folder)
        module, batches = module_of(config, data), batches_of(config, data)
        module.model.fit(instantiate(config.data, data=data).train_halves())
        optimizer = build_optimizer(module.make_optimizer, module, False)

        def steps() -> None:
            for step, batch in enumerate(batches):
                optimizer.zero_grad()
                module.compute_step(batch, Progress(epoch=0.0, step=step))[0].backward()
                optimizer.step()

        def plain_steps() -> Timed:
            began = process_time()
            steps()
            return Timed(process_time() - began, None)

        sparse = sparse_products(steps)
        dense = products_of(steps)

        def products() -> None:
            dense.run()
            for queries, bodies in sparse:
                leaves = [each.with_values(each.values.detach().requires_grad_()) for each in (queries, bodies)]
                views.sparse_product(*leaves).sum().backward()

        cases = {"sigjepa": lambda: framework_epoch(config, data), "products": products, "steps alone": plain_steps}
        return per_step(compare(cases, lambda found: None, repeats), len(batches))


def sparse_products(work: Callable[[], Any]) -> list[tuple[TermRows, TermRows]]:
    """Return the operands of every sparse product of a piece of work."""
    noted: list[tuple[TermRows, TermRows]] = []
    multiply = views.sparse_product

    def noting(queries: TermRows, bodies: TermRows) -> Tensor:
        noted.append((queries, bodies))
        return multiply(queries, bodies)

    views.sparse_product = noting
    try:
        work()
    finally:
        views.sparse_product = multiply
    return noted


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS), help="which (default: all)")
    parser.add_argument("--functions", type=int, default=2000, help="of an epoch; a tenth of it where a step is long")
    parser.add_argument("--dim", type=int, default=2048, help="of the published student's states (default: 2048)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/training_step.json"))
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    record = {part: PARTS[part](options) for part in options.parts}
    write_json(options.output, record)
    for part, figures in record.items():
        print_comparison(f"{part}, {figures['steps']} steps", figures)


def dropout(data: TrainingData, repeats: int) -> dict[str, Any]:
    """Return how long an epoch of the bare loop takes with the dropout of Exp 1.4, beside one without."""
    with tempfile.TemporaryDirectory() as folder:
        configs = [config_of(["experiment=exp1_4"], folder, *last) for last in ([], ["model.dropout=0"])]
        batches = batches_of(configs[0], data)

        def finite(found: Mapping[str, Any]) -> None:
            assert all(weights.isfinite().all() for weights in found.values())

        having, lacking = (partial(bare_epoch, config, batches, data.shards.dim) for config in configs)
        return compare({"dropout": having, "none": lacking}, finite, repeats) | {"steps": len(batches)}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "published": lambda options: in_batch(
        ["experiment=exp1_4", "model=sig_predictor"],
        made_up_data(options.functions // 10, options.dim, body_states=False),
        max(1, options.repeats // 2),
        products=True,
    ),
    "small": lambda options: in_batch(
        ["experiment=exp1_4", *SMALL], made_up_data(options.functions, 8, body_states=False), options.repeats
    ),
    "mined": lambda options: in_batch(
        ["experiment=exp2_1", "negatives.tiers=null", *SMALL],
        mined(made_up_data(options.functions, 8, body_states=False)),
        options.repeats,
    ),
    "dropout": lambda options: dropout(made_up_data(options.functions // 4, 384, body_states=False), options.repeats),
    "flagship": lambda options: flagship(options.functions, 384, options.repeats),
}

if __name__ == "__main__":
    main()
