"""Students on the Hugging Face Hub."""

from pathlib import Path

from sigjepa.errors import SigjepaError
from sigjepa.teacher.pretrained import HUB_ID


def download(name: str) -> Path:
    """Return the folder of a student of the Hub, fetched where it is not cached.

    Raises SigjepaError for a name that is neither a folder nor of the Hub's form, and for what the Hub does not give.
    """
    if HUB_ID.fullmatch(name) is None:
        raise SigjepaError(f"{name} does not exist. Give the folder of a student, or its id on the Hugging Face Hub.")
    from huggingface_hub import snapshot_download  # noqa: PLC0415  needed for Hub ids only
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "README.md"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SigjepaError(
            f"{name} is no folder here, and the Hugging Face Hub did not give a student of that name ({reason}). Give "
            f"its folder; where there is a network, `hf download {name} --local-dir <folder>` fetches it."
        ) from error


def upload(folder: Path, repo_id: str, private: bool | None, token: str | None) -> str:
    """Upload a folder to a repository of the Hub, made where there is none, and return the address of the commit.

    Raises SigjepaError for what the Hub refuses, and when it can't be reached.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    http_error: type[Exception] = HfHubHTTPError.__mro__[1]  # of the library that huggingface_hub speaks HTTP with
    api = HfApi(token=token)
    try:
        repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload a student of sigjepa"))
    except (http_error, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SigjepaError(
            f"The Hugging Face Hub did not take the student as {repo_id} ({reason}). Log in with `hf auth login` and "
            "give owner/name; without a network, `save_pretrained` keeps it here."
        ) from error
