"""Upload of an export to the Hugging Face hub."""

import os
from collections.abc import Sequence
from pathlib import Path

from unmask.errors import UserError

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


def require_login(repository: str) -> None:
    """Raise `UserError` before long work if an upload cannot succeed: offline, no token, or an invalid name."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"push_to_hub: {repository!r} is not a repository name ({error})") from None
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UserError("push_to_hub: HF_HUB_OFFLINE is set; unset it to upload")
    if get_token() is None:
        raise UserError(f"push_to_hub: no token for the hub; {_LOGIN}")


def upload(folder: Path, files: Sequence[str], repository: str, *, public: bool) -> str:
    """Create the repository if it is missing (private unless asked), upload files of a folder, and return its address.

    Raises:
        UserError: no network, no right to write there, or anything else that the hub refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="unmask")
    try:
        url = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=url.repo_id,
            folder_path=folder,
            allow_patterns=list(files),
            commit_message="Encoder exported by unmask",
        )
    except Exception as error:  # the hub raises many kinds: no network, no right, no space
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"push_to_hub: {repository} was not uploaded ({type(error).__name__}: {reason}); the export is in {folder}"
        ) from error
    return str(url)
