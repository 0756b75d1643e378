import io
import zipfile

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.rank_files import read_ranks, write_ranks
from sigjepa.evaluation.ranks import Ranks

IDS = np.arange(3)


@pytest.mark.parametrize(
    "places",
    [[0, 1, 2], [-1, 1, 2], [1, 2, 4], [1.0, 2.0, float("nan")], [1, 2], [[1, 2, 3]], ["1", "2", "3"]],
)
def test_places_that_are_no_ranks_of_the_pool_name_the_file(tmp_path, places):
    path = tmp_path / "ranks.npz"
    np.savez(path, test_ids=IDS, test_optimistic=np.array(places), test_pessimistic=np.array(places))
    with pytest.raises(SigjepaError, match=r"ranks\.npz"):
        read_ranks(path, "test")


@pytest.mark.parametrize("ids", [[0, 1, 1], [2, 1, 0], [-1, 0, 1], [0.5, 1.5, 2.5], [[0, 1, 2]]])
def test_ids_that_do_not_rise_name_the_file(tmp_path, ids):
    write_ranks(tmp_path / "ranks.npz", {"test": (np.array(ids), Ranks(IDS + 1, IDS + 1))})
    with pytest.raises(SigjepaError, match=r"ranks\.npz"):
        read_ranks(tmp_path / "ranks.npz", "test")


@pytest.mark.parametrize("header", [{"shape": (1 << 42,)}, {"shape": (-1,)}, {"descr": "|O"}])
def test_a_header_that_asks_for_more_than_the_file_holds_names_the_file(tmp_path, header):
    path = tmp_path / "ranks.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("ids", "optimistic", "pessimistic"):
            stream = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "<i8", "fortran_order": False, "shape": (3,)} | header
            )
            archive.writestr(f"test_{name}.npy", stream.getvalue() + IDS.astype("<i8").tobytes())
    with pytest.raises(SigjepaError, match=r"ranks\.npz"):
        read_ranks(path, "test")
