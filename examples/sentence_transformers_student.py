"""Open a student in sentence-transformers and search: `python examples/sentence_transformers_student.py <folder>`.

The folder is the `student` of a run directory, or what `sigjepa export student=...` wrote; the student must predict one
vector, as `model=sig_predictor` does. `trust_remote_code=True` lets it import sigjepa, which is installed here.
"""

import sys

from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

SIGNATURES = {"read": "def read_csv(path, sep=','):", "close": "def close(self):", "sum": "def total(prices):"}
BODIES = {
    "read": "with open(path) as file:\n    return [line.rstrip().split(sep) for line in file]",
    "close": "self.file.close()\nself.file = None",
    "sum": "return sum(prices)",
}


def main(folder: str) -> None:
    """Print the best body for each signature, and the figures of an evaluator."""
    model = SentenceTransformer(folder, trust_remote_code=True)
    queries = model.encode_query(list(SIGNATURES.values()))
    documents = model.encode_document(list(BODIES.values()))
    for name, (hit,) in zip(SIGNATURES, util.semantic_search(queries, documents, top_k=1), strict=True):
        print(f"{SIGNATURES[name]}  ->  {list(BODIES)[hit['corpus_id']]} ({hit['score']:.3f})")
    relevant = {name: {name} for name in SIGNATURES}
    figures = InformationRetrievalEvaluator(SIGNATURES, BODIES, relevant, accuracy_at_k=[1, 3])(model)
    print(f"Rank@1 {figures['dot_accuracy@1']:.2f}, Rank@3 {figures['dot_accuracy@3']:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
