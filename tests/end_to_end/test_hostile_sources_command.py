"""Rows and files that were once read wrong, at the command: what stands in the corpus."""

import gzip
import json
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

CASES = Path(__file__).parents[1] / "corpus" / "cases"
FEW = (
    "data=tiny",
    "corpus.split_shares={train: 0.34, val: 0.33, test: 0.33}",
    "baseline=[random]",
    "paths.data_dir=data",
)


def plain(name, number):
    """A function of a package, of other strings than any other's: other names alone are clones."""
    lines = "".join(f"    {name}{line} = x['{name}{number}_{line}']\n" for line in range(3))
    return f"def {name}{number}(x):\n{lines}    return x\n"


def functions(folder):
    """The rows of the corpus that was built below `folder`, by path and name."""
    (path,) = (folder / "data" / "corpus").glob("*/functions.parquet")
    return {(row["path"], row["qualname"]): row for row in pq.read_table(path).to_pylist()}


def test_rows_of_a_packed_file_under_its_own_names(run, tmp_path):
    rows = [{"repo": name, "path": f"{n}.py", "text": plain(name, n)} for name in "abc" for n in range(14)]
    for case in ("latin1_cookie_with_euro", "indented_method"):
        row = json.loads((CASES / f"{case}.jsonl").read_text())
        rows.append({"repo": "a", "path": f"{case}.py", "text": row["code"]})
    go = {"head": "func Add(a int, b int) int {", "inside": "total := a + b\nfmt.Println(total)\nreturn total"}
    rows += [
        {"repo": "b", "path": "add.go", "halves": go, "call": "Add"},
        {"repo": "c", "path": "half\ud83d.py", "text": plain("d", 1)},
        {"repo": "c", "path": "bad.py", "text": "def broken(x):\n    return '\ud83d' + x\n"},
    ]
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
    fields = "{repository: repo, code: text, signature: halves.head, body: halves.inside, qualname: call}"
    words = ("corpus=jsonl", "corpus.source.path=rows.jsonl.gz", f"corpus.source.fields={fields}")
    done = run("prepare", *FEW, *words, cwd=tmp_path)
    found = functions(tmp_path)
    assert found["latin1_cookie_with_euro.py", "f"]["body"] == 'x = "€"\nreturn x, a'
    assert found["indented_method.py", "f"]["body"] == "x = self.a\nreturn x"
    assert found["add.go", "Add"]["signature"] == go["head"]
    assert found["add.go", "Add"]["body"] == go["inside"]
    assert any(path.startswith("half") and "d83d" in path for path, _ in found)
    assert not any(path == "bad.py" for path, _ in found)
    assert "undecodable" in done.stdout + done.stderr


@pytest.mark.slow  # tests/corpus has each of these by itself
def test_files_of_a_clone_that_put_another_object_in_the_place_of_one(run, tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(14):
            (tmp_path / name / f"m{number}.py").write_text(plain(name, number))
    for case in ("continued_lines", "carriage_returns_only"):
        (tmp_path / "a" / f"{case}.py").write_bytes((CASES / f"{case}.txt").read_bytes())

    def git(name, *words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", "-C", str(tmp_path / name), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for name in "abc":
        git(name, "init", "-q")
        git(name, "add", ".")
        git(name, "commit", "-q", "-m", "one")
    true = git("b", "rev-parse", "HEAD:m0.py")
    (tmp_path / "b" / "other.py").write_text("def b0(x):\n    evil = x\n    return evil\n")
    git("b", "replace", true, git("b", "hash-object", "-w", "other.py"))
    (tmp_path / "b" / "other.py").unlink()
    run("prepare", *FEW, "corpus=git", "corpus.source.paths=[a,b,c]", cwd=tmp_path)
    found = functions(tmp_path)
    assert "evil" not in found["m0.py", "b0"]["body"]
    assert found["continued_lines.py", "Greeter.greet"]["body"] == 'text = "good " \\\n    "morning"\nreturn text'
    assert "no-such-codec" in found["carriage_returns_only.py", "read"]["body"]
