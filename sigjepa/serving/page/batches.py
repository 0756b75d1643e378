"""Queries that wait are searched together: a batch reads the teacher's weights and the index once."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from starlette.exceptions import HTTPException

from sigjepa.serving.answer import Answer
from sigjepa.serving.code_search import CodeSearch
from sigjepa.serving.query import Query

MAX_TOGETHER = 8
"""Queries of a batch: more save little, and the first waits for the last."""


class Batches:
    """Answers queries, those together that come while others are searched.

    max_waiting: how many may wait; one more is refused with 503 and `Retry-After`. threads: how many batches are
    searched at a time.
    """

    def __init__(self, search: CodeSearch, max_waiting: int = 64, threads: int = 1) -> None:
        self.search, self.max_waiting = search, max_waiting
        self._lock, self._workers = threading.Lock(), ThreadPoolExecutor(threads, "search")
        self._waiting = 0
        self._next: tuple[list[Query], list[int], Future[list[Answer]]] | None = None

    async def answer(self, query: Query, top_k: int) -> Answer:
        """Return what a query comes to; raises HTTPException where too many wait."""
        future, place = self.put(query, top_k)
        # shielded: who goes away while it waits ends no search of the others
        return (await asyncio.shield(asyncio.wrap_future(future)))[place]

    def put(self, query: Query, top_k: int) -> tuple["Future[list[Answer]]", int]:
        """Return the answers to come of the batch that a query is in, and its place among them."""
        with self._lock:
            if self._waiting >= self.max_waiting:
                raise HTTPException(503, "Too many queries wait; try again in a second.", {"retry-after": "1"})
            self._waiting += 1
            if self._next is None or len(self._next[0]) == MAX_TOGETHER:
                queries: list[Query] = []
                numbers: list[int] = []
                self._next = queries, numbers, self._workers.submit(self._answers, queries, numbers)
            self._next[0].append(query)
            self._next[1].append(top_k)
            return self._next[2], len(self._next[0]) - 1

    def _answers(self, queries: Sequence[Query], top_k: Sequence[int]) -> list[Answer]:
        with self._lock:
            if self._next is not None and self._next[0] is queries:
                self._next = None
            self._waiting -= len(queries)  # of a batch that is full no query is added
        return self.search.answers(queries, top_k)
