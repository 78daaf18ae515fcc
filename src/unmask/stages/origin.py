"""What must be said of weights that a training starts from: whether their encoder may have seen the test images."""

from pathlib import Path

from unmask.data.load import Dataset
from unmask.errors import UserError
from unmask.runs import read_json


def origin_notes(init: str | Path | None, data: Dataset) -> list[str]:
    """Notes on the images that a run was trained on, against those of `data`; none where nothing is to be said.

    A run on the same images with the same split has not seen the test, unless it was transductive. Of a file, nothing
    is known; timm's own weights need no note.
    """
    if init is None or not Path(init).exists():
        return []
    stored, facts = Path(init) / "config.json", Path(init) / "environment.json"
    try:
        config, fingerprint = read_json(stored)["data"], read_json(facts)["data"]["fingerprint"]
        name, transductive = str(config["data"]), bool(config.get("transductive"))
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return [f"{init} does not record its images: whether it has seen the test is not known"]
    if fingerprint != data.fingerprint:
        return [f"{init} was trained on other images or another split ({name}): it may have seen the test images"]
    if transductive:
        return [f"{init} is transductive: it has seen the validation and test images (without labels)"]
    return []
