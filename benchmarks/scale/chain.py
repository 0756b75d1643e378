"""The chain at one size, and the figures of its stages. The clock begins when what one needs is there."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning
import torch
from process_memory import forget_peak, memory_kib
from renamed_copies import RenamedCopies
from synthetic import MadeUpScoresStage, MadeUpTeacher

from sigjepa.corpus.corpus import Corpus
from sigjepa.corpus.extraction import FILES_PER_PART
from sigjepa.corpus.sources.installed import InstalledPackages
from sigjepa.corpus.stage import CorpusStage
from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.data.training_data import TrainingData
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.stage import HardNegativesStage
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.stage import MinedPairsStage
from sigjepa.store.executors.local import Local, core_count
from sigjepa.store.store import Store
from sigjepa.teacher.shards import TeacherShards
from sigjepa.teacher.stage import ShardStage
from sigjepa.training.module import SigJepaModule

FUNCTIONS_OF_A_FILE = 8.0
"""About so many are kept of a file, duplicates gone; how many there are is in the table."""
SPLIT_SHARES = {"train": 0.98, "val": 0.01, "test": 0.01}
MIN_COSIM = 0.6
BATCH_SIZE = 512
"""Functions of a step; the student is one layer of 128, so that an epoch measures reading, not multiplying."""


@dataclass(frozen=True)
class Chain:
    """The artifacts of one size below a folder, each opened where it is built.

    packages: of which functions are made; None is all that are installed.
    """

    functions: int
    folder: Path
    packages: list[str] | None = None

    @cached_property
    def store(self) -> Store:
        """Where they lie."""
        return Store(self.folder / f"{self.functions}")

    @cached_property
    def corpus_stage(self) -> CorpusStage:
        """The corpus of about so many functions."""
        installed = InstalledPackages(self.packages, standard_library=self.packages is None)
        return CorpusStage(RenamedCopies(installed, self.files), split_shares=SPLIT_SHARES)

    @property
    def files(self) -> int:
        """How many files are read."""
        return round(self.functions / FUNCTIONS_OF_A_FILE)

    @cached_property
    def corpus(self) -> Corpus:
        """The functions, of many files in a process for each core, as a command builds them."""
        store = self.store if self.files <= FILES_PER_PART else Store(self.store.data_dir, Local(core_count()))
        return store.get(self.corpus_stage)

    @cached_property
    def shards(self) -> TeacherShards:
        """Their vectors."""
        return self.store.get(ShardStage(self.corpus, MadeUpTeacher(self.functions)))  # type: ignore[arg-type]

    @cached_property
    def mined(self) -> Pairs:
        """The nearest of each."""
        return self.store.get(MinedPairsStage(self.corpus, self.shards, top_k=8, min_cosim=MIN_COSIM))

    @cached_property
    def scores(self) -> JudgedPairs:
        """The pairs with made-up scores."""
        return self.store.get(MadeUpScoresStage(self.mined))

    @cached_property
    def negatives(self) -> HardNegatives:
        """The index of hard negatives."""
        stage = HardNegativesStage(self.scores, self.corpus, self.shards, PairFilter(min_cosim=MIN_COSIM))
        return self.store.get(stage)

    @cached_property
    def datamodule(self) -> FunctionDataModule:
        """The batches that a student is trained on."""
        data = TrainingData(self.corpus, self.shards, self.store, self.negatives)
        return FunctionDataModule(data, batch_size=BATCH_SIZE, eval_batch_size=BATCH_SIZE)

    def trainer(self) -> tuple[lightning.Trainer, SigJepaModule]:
        """Return a trainer of one epoch and the student."""
        torch.manual_seed(0)
        model = SigPredictor(self.shards.dim, hidden_dim=128, layers=1, heads=4, feedforward_dim=256)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=1.0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
        )
        return trainer, SigJepaModule(
            model, {"infonce": InfoNCE(mined_candidates="per_anchor")}, torch.optim.AdamW, None
        )

    def train(self) -> dict[str, Any]:
        """Train one epoch, without validation."""
        trainer, module = self.trainer()
        trainer.limit_val_batches = 0
        trainer.fit(module, datamodule=self.datamodule)
        return {"steps": trainer.global_step}

    def validate(self) -> dict[str, Any]:
        """Rank every true body of val among all of val."""
        trainer, module = self.trainer()
        trainer.validate(module, datamodule=self.datamodule, verbose=False)
        return {"pool": len(self.corpus.ids("val"))}


@dataclass(frozen=True)
class StageOfChain:
    """A stage of the table: what is opened before the clock begins, and what is measured; both of a `Chain`."""

    title: str
    before: Callable[[Chain], Any]
    work: Callable[[Chain], Any]


STAGES = {
    "corpus": StageOfChain("corpus", lambda chain: chain.corpus_stage.inputs(), lambda chain: chain.corpus),
    "shards": StageOfChain("vectors (made up), stored", lambda chain: chain.corpus, lambda chain: chain.shards),
    "mining": StageOfChain("mining", lambda chain: chain.shards, lambda chain: chain.mined),
    "index": StageOfChain("scores (made up), index", lambda chain: chain.mined, lambda chain: chain.negatives),
    "training": StageOfChain("one epoch of training", lambda chain: chain.negatives, Chain.train),
    "validation": StageOfChain("validation", lambda chain: chain.negatives, Chain.validate),
}


def cpu_seconds() -> float:
    """Return the time on a CPU of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(name: str, chain: Chain) -> dict[str, Any]:
    """Return the figures of one stage: seconds, seconds on a CPU, peak MiB of its largest process, MiB of new files."""
    stage = STAGES[name]
    stage.before(chain)
    on_disk, began_cpu, began = bytes_below(chain.folder), cpu_seconds(), time.perf_counter()
    forget_peak()
    result = stage.work(chain)
    figures = {"seconds": time.perf_counter() - began, "cpu_seconds": cpu_seconds() - began_cpu}
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    figures |= {
        "peak_mib": max(memory_kib("VmHWM"), children) / 1024,
        "disk_mib": (bytes_below(chain.folder) - on_disk) / 2**20,
        "functions": len(chain.corpus),
    }
    return figures | facts_of(result)


def facts_of(result: Any) -> dict[str, Any]:
    """Return what the table's notes say of a stage's result."""
    if isinstance(result, Corpus):
        return {"counts": result.manifest.facts["counts"], "skipped": result.manifest.facts["skipped"]}
    if isinstance(result, Pairs) and result.manifest is not None:
        return {"pairs": len(result), "search": result.manifest.facts["search"]}
    if isinstance(result, HardNegatives):
        return {"hard_negatives": len(result)}
    return result if isinstance(result, dict) else {}
