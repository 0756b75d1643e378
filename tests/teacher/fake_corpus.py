"""Texts in the place of a corpus, in a module of its own name: worker processes import it."""

from dataclasses import dataclass

from sigjepa.store.manifest import Reference


@dataclass
class FakeCorpus:
    """What `ShardStage` needs of a corpus."""

    signatures: list[str]
    bodies: list[str]
    hash: str = "corpus-1"

    @property
    def reference(self) -> Reference:
        return Reference("corpus", "fake-1", self.hash, self.hash)

    def __len__(self) -> int:
        return len(self.signatures)

    def column(self, name: str, rows: slice = slice(None)) -> list[str]:
        return {"signature": self.signatures, "body": self.bodies}[name][rows]
