"""Ask a trained student which bodies fit a signature: `python examples/use_a_student.py outputs/flagship/<time>`.

The argument is a run directory, a student's folder, or its id on the Hugging Face Hub.
"""

import sys

import sigjepa
from sigjepa.data.views import score

SIGNATURES = ["def read_csv(path, sep=','):", "def close(self):", "def total(prices: list[float]) -> float:"]
BODIES = [
    "with open(path) as file:\n    return [line.rstrip().split(sep) for line in file]",
    "self.file.close()\nself.file = None",
    "return sum(prices)",
]


def main(name: str) -> None:
    """Print the body that fits each signature best, with its score."""
    student = sigjepa.Student.from_pretrained(name)
    print(f"{type(student.model).__name__}, {student.fingerprint}")
    scores = score(student.predict(SIGNATURES), student.encode_bodies(BODIES))
    for signature, row in zip(SIGNATURES, scores, strict=True):
        best = int(row.argmax())
        print(f"{row[best]:8.3f}  {signature}  ->  {BODIES[best].splitlines()[0]}")


if __name__ == "__main__":
    main(sys.argv[1])
