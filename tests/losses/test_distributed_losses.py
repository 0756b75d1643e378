"""Two gloo processes give the single process's loss and gradient on the same global batch."""

import dataclasses

import pytest
import torch
from torch import distributed, multiprocessing

from sigjepa.data.batch import Batch, NegativeBatch
from sigjepa.losses.distributed import gather_rows
from sigjepa.losses.infonce import InfoNCE
from sigjepa.losses.loss import Progress
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1
from sigjepa.models.prediction import Prediction
from sigjepa.training.evaluation_pass import Evaluation, concatenate_evaluations

START = Progress(epoch=0, step=0)
SHARES = ([0, 2, 4, 6], [1, 3, 5])  # uneven on purpose
RANDOM_SHARES = ([0, 1, 2], [1, 3])  # one row is drawn by both, and one stands in the other's batch


def share(batch: Batch, rows: list[int]) -> Batch:
    """What one rank would have been given: its anchors and only the negatives that they brought."""

    def brought(mined: NegativeBatch) -> NegativeBatch:
        scores = mined.scores[rows]
        kept = (scores >= 0).any(dim=0)
        return NegativeBatch(mined.ids[kept], mined.embeddings[kept], scores[:, kept])

    random, drawn = batch.random, RANDOM_SHARES[SHARES.index(rows)]
    return dataclasses.replace(
        batch,
        ids=batch.ids[rows],
        signature_states=batch.signature_states[rows],
        signature_mask=batch.signature_mask[rows],
        body_pooled=batch.body_pooled[rows],
        body_states=batch.body_states[rows],
        body_mask=batch.body_mask[rows],
        negatives=brought(batch.negatives),
        related_ids=batch.related_ids[rows],
        related=brought(batch.related),
        random=NegativeBatch(random.ids[drawn], random.embeddings[drawn], random.scores[rows][:, drawn]),
    )


def run_terms(batch: Batch, pooled: torch.Tensor, states: torch.Tensor) -> dict[str, torch.Tensor]:
    """Value and gradients (predictions, temperature) of every term."""
    results = {}
    for name, loss in (
        ("none", InfoNCE(temperature=0.1)),
        ("union", InfoNCE(mined_candidates="union", temperature=0.1)),
        ("per_anchor", InfoNCE(mined_candidates="per_anchor", temperature=0.1)),
        ("weighted", InfoNCE(mined_candidates="union", score_weights=[0.5, 0.25], temperature=0.1)),
        ("positive", InfoNCE(mined_candidates="union", related="positive", temperature=0.1)),
    ):
        pooled_leaf = pooled.clone().requires_grad_()
        term = loss(Prediction(pooled_leaf), batch, START)
        term.value.backward()
        results[name] = term.value.detach()
        results[f"{name}_gradient"] = pooled_leaf.grad
        results[f"{name}_temperature_gradient"] = loss.log_temperature.grad
        results |= {f"{name}_log_{key}": torch.as_tensor(value) for key, value in term.logs.items()}
    states_leaf = states.clone().requires_grad_()
    term = TokenSmoothL1()(Prediction(pooled, states_leaf), batch, START)
    term.value.backward()
    return results | {"tokens": term.value.detach(), "tokens_gradient": states_leaf.grad}


def places_of(batch: Batch, pooled: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """Ids and ranks of the whole pool, of which a process brings `rows` and ranks a share."""
    whole = concatenate_evaluations([Evaluation(batch.ids[rows], pooled[rows], batch.body_pooled[rows])])
    ranks = whole.ranks()
    return torch.stack([whole.ids, torch.from_numpy(ranks.optimistic), torch.from_numpy(ranks.pessimistic)])


def worker(rank: int, folder: str, batch: Batch, pooled: torch.Tensor, states: torch.Tensor) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    rows = SHARES[rank]
    results = run_terms(share(batch, rows), pooled[rows], states[rows])
    gathered, offset = gather_rows(torch.full((rank + 1, 2), float(rank)))
    results |= {"gathered": gathered, "offset": torch.tensor(offset), "places": places_of(batch, pooled, rows)}
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory, forkserver):
    folder = tmp_path_factory.mktemp("gloo")
    generator = torch.Generator().manual_seed(3)
    scores = torch.randint(-1, 2, (7, 9), generator=generator).to(torch.int8)
    scores[0] = -1
    batch = Batch(
        ids=torch.arange(7),
        signature_states=torch.zeros(7, 2, 8),
        signature_mask=torch.ones(7, 2).bool(),
        body_pooled=torch.randn(7, 8, generator=generator),
        body_states=torch.randn(7, 5, 8, generator=generator),
        body_mask=torch.arange(5) < torch.randint(1, 6, (7, 1), generator=generator),
        negatives=NegativeBatch(
            torch.tensor([100, 101, 102, 103, 104, 105, 106, 107, 3]),  # the last one stands in the batch as well
            torch.randn(9, 8, generator=generator),
            scores,
        ),
        related_ids=torch.tensor([[200, 3], [4, -1], [201, -1], [0, -1], [1, -1], [-1, -1], [200, 105]]),
        related=NegativeBatch(
            torch.tensor([200, 201]),
            torch.randn(2, 8, generator=generator),
            torch.tensor([[2, -1], [-1, -1], [-1, 2], [-1, -1], [-1, -1], [-1, -1], [2, -1]], dtype=torch.int8),
        ),
    )
    batch.negatives.embeddings[8] = batch.body_pooled[3]
    nobody = torch.full((7, 4), -1, dtype=torch.int8)
    batch.random = NegativeBatch(torch.tensor([300, 301, 3, 302]), torch.randn(4, 8, generator=generator), nobody)
    batch.random.embeddings[2] = batch.body_pooled[3]
    batch.body_pooled[5] = batch.body_pooled[2]  # byte-identical bodies on different ranks
    pooled, states = torch.randn(7, 8, generator=generator), torch.randn(7, 5, 8, generator=generator)
    single = run_terms(batch, pooled, states) | {"places": places_of(batch, pooled, list(range(7)))}
    arguments = (str(folder), batch, pooled, states)
    multiprocessing.start_processes(worker, arguments, 2, start_method=forkserver.get_start_method())
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return single, ranks


@pytest.mark.parametrize("name", ["none", "union", "per_anchor", "weighted", "positive", "tokens"])
def test_mean_over_ranks_is_the_single_process_value(results, name):
    single, ranks = results
    torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, single[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "union", "per_anchor", "weighted", "positive", "tokens"])
def test_gradients_are_those_of_the_single_process(results, name):
    single, ranks = results
    for rank, rows in enumerate(SHARES):
        # DDP averages, so a rank's own rows come back divided by the number of ranks
        torch.testing.assert_close(
            ranks[rank][f"{name}_gradient"] / 2, single[f"{name}_gradient"][rows], rtol=0, atol=1e-6
        )
    if name != "tokens":
        key = f"{name}_temperature_gradient"
        torch.testing.assert_close((ranks[0][key] + ranks[1][key]) / 2, single[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["union", "per_anchor", "weighted", "positive"])
def test_figures_are_those_of_the_single_process(results, name):
    single, ranks = results
    logs = [key for key in single if key.startswith(f"{name}_log_")]
    assert len(logs) >= 10
    for key in logs:  # counts are those of the global batch, not means of each process's
        for rank in ranks:
            torch.testing.assert_close(rank[key], single[key], rtol=0, atol=1e-6)


def test_ranks_that_processes_share_out_are_those_of_the_single_process(results):
    single, ranks = results
    assert (single["places"][1] < single["places"][2]).sum() == 2  # the byte-identical bodies tie
    for rank in range(2):
        assert torch.equal(ranks[rank]["places"], single["places"])


def test_gather_rows_takes_uneven_shares_in_rank_order(results):
    _, ranks = results
    for rank in range(2):
        assert ranks[rank]["gathered"].tolist() == [[0, 0], [1, 1], [1, 1]]
        assert ranks[rank]["offset"] == rank
