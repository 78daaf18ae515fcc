"""A class for every pixel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmask.config import EncoderConfig
from unmask.config.data import IGNORED
from unmask.config.metric import Metric
from unmask.errors import UserError
from unmask.evaluate.defined import or_none
from unmask.evaluate.overlap import (
    Overlap,
    boundary_overlap,
    dice,
    dice_per_image,
    iou,
    iou_per_image,
    mean_of_classes,
    overlap,
)
from unmask.evaluate.probe import Labeled, Probe
from unmask.runs.scores import MaskClassScores, SegmentationScores
from unmask.tasks.mask_loss import mask_loss, mask_targets
from unmask.tasks.mask_strata import presence, strata_of
from unmask.tasks.task import Task, weights_of

DecoderName = Literal["unet", "dpt", "linear"]


@dataclass(frozen=True, kw_only=True)
class Segmentation(Task):
    """Labels are masks, uint8 (N, H, W), 255 for no class; outputs are classes (N, H, W). See `Task`."""

    name: Literal["segmentation"] = "segmentation"
    title: ClassVar = "Segmentation network"
    hub_tag: ClassVar = "image-segmentation"
    averages: ClassVar = False
    classes: tuple[str, ...]
    decoder: DecoderName | None = None
    """The network's head; None: the one that suits the encoder."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @property
    def metric(self) -> Metric:
        """Mean IoU."""
        return "miou"

    def about_outputs(self) -> list[str]:
        """The classes, and the per-pixel logits."""
        pixels = "the output holds a logit per class for each pixel; the largest is the pixel's class"
        return [f"classes: {', '.join(self.classes)}", pixels]

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Which masks have a pixel with a class."""
        return np.asarray((labels != IGNORED).reshape(len(labels), -1).any(1))

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """The rarest class that an image shows."""
        return strata_of(presence(labels.astype(np.uint8, copy=False), len(self.classes)), most)

    def network(
        self, encoder: EncoderConfig, *, channels: int, size: tuple[int, int], seed: int, plain: bool = False
    ) -> nn.Module:
        """With a decoder on the encoder's maps, see `build_segmenter`."""
        from unmask.encoders.build import build_model  # imports timm, which reading masks does not need
        from unmask.segmenters import build_segmenter

        model = build_model(encoder, in_chans=channels, image_size=size, seed=seed)
        return build_segmenter(
            model, classes=len(self.classes), in_chans=channels, image_size=size, seed=seed, decoder=self.decoder
        )

    def target(self, labels: Tensor) -> Tensor:
        """See `mask_targets`."""
        return mask_targets(labels, len(self.classes))

    def balance(self, labels: Tensor) -> Tensor:
        """See `weights_of`: for the pixels with a class, (K,)."""
        return weights_of(torch.bincount(labels.flatten().long(), minlength=IGNORED + 1)[: len(self.classes)])

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Cross-entropy and Dice, see `mask_loss`."""
        return mask_loss(outputs, target, smoothing=smoothing, balance=balance)

    def readout(self, raw: Tensor) -> Tensor:
        """The most likely class of each pixel; NaN in an image with a logit that is not a number."""
        broken = raw.isnan().flatten(1).any(1)[:, None, None]
        return raw.argmax(1).float().masked_fill(broken, torch.nan)

    def scores(self, outputs: Tensor, labels: Tensor) -> SegmentationScores:
        """IoU, Dice and boundary IoU over all images."""
        if not len(outputs):
            raise UserError("there is no image to score: give the split at least one mask")
        if outputs.isnan().any():
            raise UserError("the network's outputs are not numbers: training diverged, lower the learning rate")
        predicted, count = outputs.to(torch.uint8), len(self.classes)
        counts = overlap(predicted, labels, count)
        ious, dices = iou(counts), dice(counts)
        boundaries = iou(boundary_overlap(predicted, labels, count))
        return SegmentationScores(
            miou=mean_of_classes(ious),
            dice=mean_of_classes(dices),
            boundary_iou=mean_of_classes(boundaries),
            pixel_accuracy=float(counts.both.sum() / max(1, counts.true.sum())),
            per_class=tuple(
                MaskClassScores(
                    name=name,
                    iou=or_none(ious[k]),
                    dice=or_none(dices[k]),
                    boundary_iou=or_none(boundaries[k]),
                    images=int((counts.true[:, k] > 0).sum()),
                    pixels=int(counts.true[:, k].sum()),
                )
                for k, name in enumerate(self.classes)
            ),
        )

    def judged(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Pixels of each class in both masks, in the prediction, in the truth: int32 (N, 3, K); -1 where unreadable."""
        unreadable = outputs.flatten(1).isnan().any(1)
        predicted = outputs.nan_to_num(0.0).to(torch.uint8)
        counts = torch.from_numpy(overlap(predicted, labels, len(self.classes)).stacked())
        return torch.where(unreadable[:, None, None], -1, counts)

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """See `iou_per_image`."""
        read = judged[:, 0, 0].astype(np.int64) >= 0
        values = np.full(len(judged), np.nan)
        counts = Overlap.of_stacked(judged[read])
        values[read] = dice_per_image(counts) if metric == "dice" else iou_per_image(counts)
        return values

    def kept(self, outputs: Tensor) -> Tensor:
        """Classes as uint8, 255 where unreadable."""
        return outputs.nan_to_num(float(IGNORED)).to(torch.uint8)

    def predictions(self, kept: Tensor) -> Tensor:
        """The classes; they cannot be averaged."""
        return torch.where(kept == IGNORED, torch.nan, kept.float())

    def score_of(self, predictions: Tensor, labels: Tensor) -> float:
        """Mean IoU."""
        read = ~predictions.flatten(1).isnan().any(1)
        return mean_of_classes(iou(overlap(predictions[read].to(torch.uint8), labels[read], len(self.classes))))

    def can_probe(self, labels: Tensor) -> bool:
        """Never, see `probe`."""
        return False

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """Raises: masks give no label for pooled features; `fit_dense_probe` uses features of pixels."""
        raise NotImplementedError("masks have a dense probe")
