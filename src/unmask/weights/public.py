"""Weights published by timm or on the Hugging Face hub: find their file on disk or fetch it by name."""

import re
from contextlib import suppress
from pathlib import Path

import timm
import torch

from unmask.errors import UserError

TIMM, HUB = "timm:", "hf:"
_REPOSITORY = re.compile(r"(?!.*(?:\.\.|--))[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
OF_THE_ENCODER = "timm:pretrained"
HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
"""Files of a repository that hold a timm model's weights; the first that exists is used."""
HUB_CONFIG = "config.json"
"""The file beside them that names the model."""


def is_public_id(init: str) -> bool:
    """Whether weights are named by their publisher, not by a path."""
    return init.startswith((TIMM, HUB))


def find_public(init: str, encoder: str) -> Path | None:
    """The file of published weights in the hub's or torch's cache; nothing is fetched.

    Args:
        init: timm:pretrained (the encoder's own), timm:NAME or hf:USER/NAME.
        encoder: name of the encoder.

    Raises:
        UserError: timm knows no weights of that name.
    """
    from huggingface_hub import try_to_load_from_cache

    repository, address = _places(init, encoder)
    for name in HUB_NAMES if repository else ():
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name if address else None
    return kept if kept is not None and kept.exists() else None


def fetch_public(init: str, encoder: str, *, field: str = "init") -> Path:
    """The same file, fetched if it is not on this disk. Raises UserError if it cannot be obtained."""
    found = find_public(init, encoder)
    if found is not None:
        return found
    repository, address = _places(init, encoder)
    try:
        return _of_hub(repository) if repository else _of_address(address)
    except Exception as error:  # the hub raises many kinds: no such weights, no network, no cache
        raise UserError(
            f"{field}: the weights {init} of {encoder} could not be obtained ({type(error).__name__}); "
            "download them once with network access, or give a file"
        ) from error


def _places(init: str, encoder: str) -> tuple[str, str]:
    """Hub repository and address of the file, either of which may be empty."""
    if init.startswith(HUB):
        if not _REPOSITORY.fullmatch(init.removeprefix(HUB)):
            raise UserError(f"{init}: is not the name of a repository, as in hf:USER/NAME")
        return init.removeprefix(HUB), ""
    name = encoder if init == OF_THE_ENCODER else init.removeprefix(TIMM)
    try:
        known = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UserError(f"{init}: {error}") from None
    repository, address = (known.hf_hub_id or "", known.url or "") if known is not None else ("", "")
    if not (repository or address):
        raise UserError(f"{init}: timm has no pretrained weights of {name}; give a file")
    return repository, address


def _of_hub(repository: str) -> Path:
    """The weights, and beside them config.json, if there is one, which names the network."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        file = Path(hf_hub_download(repository, HUB_NAMES[0]))
    except EntryNotFoundError:
        file = Path(hf_hub_download(repository, HUB_NAMES[1]))
    with suppress(Exception):  # of many kinds; it is not needed
        hf_hub_download(repository, HUB_CONFIG)
    return file


def _of_address(address: str) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / Path(address).name
    torch.hub.download_url_to_file(address, str(file), progress=False)
    return file
