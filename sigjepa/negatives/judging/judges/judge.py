"""The protocol of a judge of mined pairs, whether it reads the code itself or asks a language model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sigjepa.store.stage import Resource

SCORES = {0: "unrelated", 1: "slightly related", 2: "related", 3: "equivalent"}
"""The published scale of `score_c`; 0 and 1 may become hard negatives, 2 and 3 are false negatives."""

Pair = tuple[str, str]
"""Content keys of two functions, ascending: the same pair in every corpus and in both directions."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One unordered pair of functions to be scored; `cosim` is the teacher's cosine of their bodies.

    The function whose content key is smaller is the anchor, so that a judge is asked the same whatever the corpus.
    Features are what `Judge.features` gives of a function, empty where nobody asked for them.
    """

    anchor_id: int
    neighbor_id: int
    anchor_key: str
    neighbor_key: str
    cosim: float
    anchor_signature: str
    anchor_body: str
    neighbor_signature: str
    neighbor_body: str
    anchor_features: bytes = b""
    neighbor_features: bytes = b""

    @property
    def pair(self) -> Pair:
        """By what the answer is found again."""
        return self.anchor_key, self.neighbor_key


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score of `SCORES` and, in a few words, why; None is a recorded parse error, an answer that holds no score.

    details: what else is worth keeping, as JSON: a distribution over the scores, the model that answered, its tokens.
    """

    score_c: int | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Scores pairs; a pair and its reverse get the same score, so that each is judged once.

    Inherit from it for the defaults of all but `name`, `fingerprint` and `judge`. It can be pickled: processes and
    machines judge parts of the pairs.
    """

    @property
    def name(self) -> str:
        """The name of the judge wherever its scores appear."""
        ...

    @property
    def packages(self) -> Sequence[str]:
        """Distributions whose version a score may depend on."""
        return ()

    @property
    def uses(self) -> Resource:
        """The resource of this machine that judging keeps busy."""
        return "core"

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are kept for good; False where a judge has them sooner than they are found again."""
        return True

    @property
    def limit(self) -> int | None:
        """Most pairs to be judged, chosen by the hash of the pair; None is all of them."""
        return None

    @property
    def parse_error_retries(self) -> int:
        """The number of times that a pair whose recorded answer held no score is asked again."""
        return 0

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that a score depends on, as JSON; a changed fingerprint judges again."""
        ...

    def cost(self, requests: Iterable[JudgeRequest]) -> str:
        """Return what judging `requests` will take, in words and before it is begun; empty when it is cheap."""
        return ""

    def features(self, signature: str, body: str) -> bytes:
        """Return what is read of each function once, however many pairs it is in; requests then bring it along."""
        return b""

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield each request once with its judgement, in any order, so that a slow answer holds back no other.

        Raises SigjepaError when it can't go on; what it has yielded by then is kept.
        """
        ...
