"""A student as modules of sentence-transformers: `SentenceTransformer(folder, trust_remote_code=True)` opens them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from sigjepa.data.views import Views
from sigjepa.errors import SigjepaError
from sigjepa.serving.student import Student


class StudentRoute(InputModule):
    """One half of a student, all its views in one vector; the dot product of both halves is the student's score.

    student: shared by both routes. Raises SigjepaError for one whose score is not a product of two vectors.
    """

    save_in_root = False
    is_signature: bool

    def __init__(self, student: Student) -> None:
        super().__init__()
        signature, body = student.example_views()
        if sparse := [name for name, view in signature.items() if not isinstance(view.vectors, Tensor)]:
            raise SigjepaError(
                f"This student scores words, of an open vocabulary, beside vectors ({', '.join(sparse)}), which "
                "sentence-transformers has no place for. Use sigjepa.Student or `sigjepa search`, or train one without "
                "those parts."
            )
        self.student = student
        self.model = student.model  # moved with the module
        self.has_constants = any(view.constants is not None for view in body.values())

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the texts as they are: the student's teacher cuts them into tokens."""
        if not all(isinstance(text, str) for text in inputs):
            raise SigjepaError("A student reads texts alone: signatures as queries, bodies as documents.")
        return {"texts": [(prompt or "") + text for text in inputs]}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the features with `sentence_embedding` `[n, D]`."""
        encode = self.student.predict if self.is_signature else self.student.encode_bodies
        embedding = self.vectors(encode(features["texts"]))
        return features | {"sentence_embedding": embedding.to(self.student.device)}

    def vectors(self, views: Views) -> Tensor:
        """Return all views as one vector each `[n, D]`, the constants of bodies in a last column."""
        vectors = [view.vectors for _, view in sorted(views.items()) if isinstance(view.vectors, Tensor)]
        if self.has_constants:
            ones = torch.ones(len(vectors[0]))
            constants = [view.constants for view in views.values() if view.constants is not None]
            vectors.append((ones if self.is_signature else torch.stack(constants).sum(dim=0))[:, None])
        return torch.cat(vectors, dim=1)

    def get_embedding_dimension(self) -> int:
        """Return D."""
        return self.vectors(self.student.example_views()[0 if self.is_signature else 1]).shape[1]

    @property
    def max_seq_length(self) -> int:
        """The tokens of a text that are read."""
        teacher = self.student.teacher
        return teacher.max_signature_tokens if self.is_signature else teacher.max_body_tokens

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the student into the folder above that of the route, which both share."""
        self.student.write(Path(output_path).parent)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *args: Any, **kwargs: Any) -> Self:
        """Return the route of the student in a folder or on the Hub."""
        model_kwargs = kwargs.get("model_kwargs") or {}
        return cls(Student.from_pretrained(model_name_or_path, **model_kwargs))


class SignatureRoute(StudentRoute):
    """Predict bodies from signatures: the teacher and the student."""

    is_signature = True


class BodyRoute(StudentRoute):
    """Embed bodies: the teacher, and the student's view of them."""

    is_signature = False
