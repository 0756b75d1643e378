"""Search your own code with a student: index a folder, ask for signatures, and see why each function was found.

python examples/search_your_code.py my_repo outputs/flagship/<run>
"""

import sys
from pathlib import Path

from sigjepa.corpus.sources.folder import Folder
from sigjepa.serving.code_search import build_index
from sigjepa.serving.functions import FunctionsStage
from sigjepa.serving.query import read_query
from sigjepa.serving.student import Student
from sigjepa.serving.student_files import find_student
from sigjepa.store.executors.local import Local

QUERIES = ("def read_rows(path, sep=','):", "push item to queue")


def main() -> None:
    """Index a folder with a student and print the best function of each query."""
    repository, student_folder = sys.argv[1:]
    folder = find_student(student_folder)
    source = FunctionsStage(Folder([repository]))
    search = build_index(Path("my_index"), source, Student.from_pretrained(folder), folder, Local())
    for text in QUERIES:
        query = read_query(text)
        best, *_ = search.search(query, top_k=1)
        strongest = max(best.why, key=lambda share: share.value)
        print(f"{query.signature}  {best.path}:{best.line} {best.qualname}, mostly by its {strongest.view}")


if __name__ == "__main__":
    main()
