"""Notes on the weights that a training starts from: whether their encoder may have seen the test images."""

from pathlib import Path

from unmask.data.load import Dataset
from unmask.runs.read import is_run, read_config, read_environment


def origin_notes(init: str | Path | None, data: Dataset, evaluated: str = "test images") -> list[str]:
    """Compare the images that a run was trained on with those of `data`; no notes if there is nothing to report.

    A run on the same images with the same split has not seen the test images, unless it was transductive. Nothing is
    known about a file; timm's own weights need no note. `evaluated` are the images of the score, in words.
    """
    if init is None or not Path(init).exists():
        return []
    environment = read_environment(Path(init)) if is_run(Path(init)) else None
    if environment is None or environment.data is None:
        return [f"{init} does not record its images: it is unknown whether it has seen the {evaluated}"]
    trained_on = read_config(Path(init)).data
    if environment.data.fingerprint != data.fingerprint:
        name = trained_on.data
        return [f"{init} was trained on other images or another split ({name}): it may have seen the {evaluated}"]
    if trained_on.transductive:
        return [f"{init} is transductive: it has seen the validation and test images (without labels)"]
    return []
