"""Files of a pretrained model, and what identifies their content."""

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xxhash

from sigjepa.errors import SigjepaError
from sigjepa.runtime.instantiate import PACKAGE_SCHEME
from sigjepa.store.files import file_digest, read_json

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

# Any one of these sets is enough for transformers to build a fast tokenizer.
TOKENIZER_SETS = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("spm.model",),
)
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
WEIGHT_NAMES = ("model.safetensors", "pytorch_model.bin")  # transformers opens the first of them, or of their indices


@dataclass(frozen=True)
class Checkpoint:
    """The files of a pretrained model: a local directory, `package://<package>/<folder>`, or a Hub id.

    Args:
        path: the directory, package folder or Hub id.
        revision: commit of a Hub id; a full commit identifies the content without reading it.
        weights_sha256: expected SHA-256 of `model.safetensors`; it then identifies the weights, and
            `verify_weights` holds the file to it.
        owner: the config group that names the model; errors call its keys `<owner>.path` and so on.
    """

    path: str
    revision: str | None = None
    weights_sha256: str | None = None
    owner: str = "teacher"

    @cached_property
    def folder(self) -> Path:
        """The local directory of the files, fetched first when `path` is a Hub id that is not cached yet.

        Raises SigjepaError when there is no such directory, package or model, or when a file is missing.
        """
        if self.path.startswith(PACKAGE_SCHEME):
            folder = _package_folder(self.path, self.owner)
        elif self._is_hub_id():
            folder = _hub_snapshot(self.path, self.revision, self.owner)
        else:
            folder = Path(self.path).expanduser()
            if not folder.is_dir():
                raise SigjepaError(
                    f"{self.owner}.path={self.path} is not a directory; give the folder of a saved model."
                )
        _check_files(folder)
        return folder

    def identity(self) -> dict[str, str]:
        """Names for the content of weights, tokenizer and configuration: equal names, equal states.

        A Hub id is named by its commit, with nothing read when `revision` is one; other files by their digests.
        """
        if self._is_hub_id():
            pinned = self.revision is not None and COMMIT.fullmatch(self.revision)
            commit = self.revision if pinned else self.folder.name
            return dict.fromkeys(("weights", "tokenizer", "config"), f"{self.path}@{commit}")
        folder = self.folder
        weights = f"sha256:{self.weights_sha256}" if self.weights_sha256 else _digest(weight_files(folder))
        return {
            "weights": weights,
            "tokenizer": _digest(tokenizer_files(folder)),
            "config": file_digest(folder / "config.json"),
        }

    def verify_weights(self) -> None:
        """Raise SigjepaError when `weights_sha256` is given and `model.safetensors` does not have it."""
        if self.weights_sha256 is None:
            return
        weights = self.folder / "model.safetensors"
        if not weights.is_file():
            raise SigjepaError(
                f"{weights} does not exist, but {self.owner}.weights_sha256 is its digest; set it to null."
            )
        with weights.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != self.weights_sha256:
            raise SigjepaError(
                f"{weights} has SHA-256 {actual}, but {self.owner}.weights_sha256={self.weights_sha256}; "
                "install the model again, or set the key to the digest of the weights you mean."
            )

    def _is_hub_id(self) -> bool:
        return HUB_ID.fullmatch(self.path) is not None and not Path(self.path).is_dir()


def weight_files(folder: Path) -> list[Path]:
    """Return the files in `folder` that transformers reads weights from, the index of shards among them.

    Raises SigjepaError for an index that can't be read, and for a shard of it that is missing.
    """
    for name in WEIGHT_NAMES:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            return [index, *_shards(index)]
    return []


def _shards(index: Path) -> list[Path]:
    content = read_json(index)
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise SigjepaError(f"{index} names no files of weights; save the model again, with `model.save_pretrained`.")
    files = [index.parent / name for name in sorted(set(shards.values()))]
    for file in files:
        if not file.is_file():
            raise SigjepaError(f"{index} names {file.name}, which is not there; copy the whole model.")
    return files


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files in `folder` that decide how a text is cut into tokens."""
    names = {name for required in TOKENIZER_SETS for name in required} | set(TOKENIZER_SETTINGS)
    files = {folder / name for name in names} | set(folder.glob("tokenizer.*.json"))  # of versions of transformers
    return sorted(file for file in files if file.is_file())


def _check_files(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise SigjepaError(
            f"{folder} has no config.json, so it is not a saved model; save one there with `model.save_pretrained`."
        )
    if not any(all((folder / name).is_file() for name in required) for required in TOKENIZER_SETS):
        raise SigjepaError(
            f"{folder} has no tokenizer: it needs tokenizer.json (or vocab.txt, or vocab.json with merges.txt, or a "
            "SentencePiece model); save one there with `tokenizer.save_pretrained`."
        )
    if not weight_files(folder):
        names = " or ".join(WEIGHT_NAMES)
        raise SigjepaError(f"{folder} has no weights: it needs {names}, or shards of one with their index.")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or "transformers_weights" in config:
        raise SigjepaError(
            f"{folder / 'config.json'} is no saved model's, or names weights of its own by transformers_weights; save "
            "the model again, with `model.save_pretrained`."
        )
    if (folder / "adapter_config.json").is_file():
        raise SigjepaError(
            f"{folder} has an adapter (adapter_config.json), whose base model may lie anywhere; merge it, and save the "
            "model that comes of it."
        )


def _package_folder(path: str, owner: str) -> Path:
    package, _, inside = path.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        # looked for, never imported: a config must not run what it names
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:
        spec = None
    if spec is None:
        distribution = package.replace("_", "-")
        raise SigjepaError(
            f"{owner}.path={path}: the package {package} is not installed; `pip install {distribution}`."
        )
    homes = [Path(home) for home in spec.submodule_search_locations or ()]
    folder = homes[0] / inside if homes else None
    if folder is None or not folder.is_dir():
        raise SigjepaError(f"{owner}.path={path}: the package {package} has no folder {inside}.")
    return folder


def _hub_snapshot(name: str, revision: str | None, owner: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  needed for Hub ids only
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    settings = ["*.json", "*.txt", "*.model", "*.jinja"]
    try:
        for pattern in WEIGHT_PATTERNS:
            # Subfolders hold other formats of the same weights (onnx, openvino, ...).
            patterns = [*settings, pattern]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
            if weight_files(folder):
                break
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        at_revision = f" --revision {revision}" if revision else ""
        raise SigjepaError(
            f"{owner}.path={name} is not a directory here, and the Hugging Face Hub did not give a model of that name "
            f"({reason}). Download it where there is a network with `hf download {name}{at_revision} "
            f"--local-dir <directory>`, then set {owner}.path=<directory>."
        ) from error
    return folder


def _digest(files: Iterable[Path]) -> str:
    digest = xxhash.xxh3_128()
    for file in files:
        digest.update(f"{file.name} {file_digest(file)}\n".encode())
    return f"xxh3_128:{digest.hexdigest()}"
