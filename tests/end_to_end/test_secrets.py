"""Keys planted in the environment, on the command line and in a config: no byte that is written or printed has them."""

import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "negatives" / "judging" / "judges"))

from chat_server import MODEL, chat_server

KEYS = {
    "WANDB_API_KEY": "fedcba9876543210fedcba9876543210fedcba98",
    "OPENAI_API_KEY": "sk-planted-Zq81xkPlm42Vb7",
    "HF_TOKEN": "hf_plantedZq81xkPlm42Vb7Nn",
}
PASSWORD = "planted-password-4711"


def leaks(folder, *texts):
    """Where a planted key stands in the files below `folder`, unpacked where they are packed, or in `texts`."""
    found = []
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        if path.suffix == ".parquet":
            contents.append(repr(pq.read_table(path).to_pylist()).encode())
        found += [str(path) for content in contents if holds_key(content)]
    return found + [text for text in texts if holds_key(text.encode())]


def holds_key(content):
    return any(key.encode() in content for key in (*KEYS.values(), PASSWORD))


def test_leaks_are_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", KEYS["HF_TOKEN"] * 100)
    assert leaks(tmp_path, "clean", f"a {PASSWORD}") == [str(tmp_path / "a.npz"), f"a {PASSWORD}"]


@pytest.mark.slow
def test_keys_of_the_environment_reach_no_file_and_no_output(run, tmp_path):
    data = tmp_path / "data"
    words = ["experiment=exp2_1", "data=tiny", "negatives.tiers=null"]
    keys = {"SIGJEPA_DATA_DIR": str(data), **KEYS}
    with chat_server() as server:
        judged = run(
            "prepare",
            *(
                *words,
                "negatives=knn",
                "negatives/judge=openai",
                f"negatives.judge.model={MODEL}",
                f"negatives.judge.base_url={server.url}",
            ),
            cwd=tmp_path,
            **keys,
        )
        assert f"Bearer {KEYS['OPENAI_API_KEY']}" in server.keys  # it was in use
        server.models = 401
        refused = run(
            "prepare",
            *(
                *words,
                "negatives=knn",
                "negatives/judge=openai",
                "negatives.judge.model=other",
                f"negatives.judge.base_url={server.url}",
            ),
            cwd=tmp_path,
            check=False,
            **keys,
        )
    trained = run(
        "train", *words, "trainer.max_epochs=1", "logger=wandb", "logger.wandb.mode=offline", cwd=tmp_path, **keys
    )
    reported = run("report", "runs=outputs", cwd=tmp_path, **keys)
    assert refused.returncode == 1
    assert list(tmp_path.rglob("*.wandb"))
    outputs = [text for done in (judged, refused, trained, reported) for text in (done.stdout, done.stderr)]
    assert not leaks(tmp_path, *outputs)
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    chain = run("provenance", str(checkpoint), cwd=tmp_path, **keys)
    assert "source files" in chain.stdout
    assert not leaks(tmp_path, chain.stdout, chain.stderr)


@pytest.mark.parametrize(
    ("command", "word", "variable"),
    [
        ("train", f"+negatives.judge.api_key={KEYS['OPENAI_API_KEY']}", "OPENAI_API_KEY"),
        ("train", f"+logger.wandb.api_key={KEYS['WANDB_API_KEY']}", "WANDB_API_KEY"),
        ("prepare", f"negatives.judge.base_url=http://user:{PASSWORD}@127.0.0.1:9/v1", "negatives.judge.api_key_env"),
    ],
)
def test_a_key_on_the_command_line_is_refused_before_anything_is_written(run, tmp_path, command, word, variable):
    done = run(
        command,
        "negatives=knn",
        "negatives/judge=openai",
        "negatives.judge.model=tiny",
        word,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert variable in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
    assert not leaks(tmp_path, done.stdout, done.stderr)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "PGPASSWORD"])
def test_a_key_that_an_interpolation_brings_is_refused_and_left_nowhere(run, tmp_path, variable):
    word = f"name=${{oc.env:{variable}}}"
    keys = KEYS | {"PGPASSWORD": PASSWORD}
    done = run("train", word, "hydra.run.dir=outputs/here", cwd=tmp_path, check=False, **keys)
    assert done.returncode == 1
    assert "'name' holds what looks like a key" in done.stderr
    assert not leaks(tmp_path, done.stdout, done.stderr)
