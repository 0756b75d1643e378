"""Settings of faiss while something is searched; they are the process's, and put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

MIN_BLAS_SIZE = 20
"""From this size on faiss multiplies by BLAS; its own threshold, 128,000 in 1.15, is above what a cluster takes."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have faiss use a single thread."""
    import faiss  # noqa: PLC0415 - a warm cache needs none

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


@contextmanager
def products_by_blas() -> Iterator[None]:
    """Have faiss multiply small matrices by BLAS, too, in 0.4 of the time of its loops."""
    import faiss  # noqa: PLC0415 - a warm cache needs none

    threshold = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = MIN_BLAS_SIZE
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = threshold
