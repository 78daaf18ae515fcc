"""More than a hundred timm models by families: the execution each gets under `auto`, and its step's cost against plain.

One encoder step (forward, sum of squares of the last map, backward) of the masked encoder and of the plain model on the
same images, in turn; CPU seconds of this process on one thread, float32, training mode, channels-last, 60 % of the
cells hidden, the model's own cell, 128 pixels or, for models that do not take 128, 224 to 256; batches of 4 to 32
images such that a plain step takes about 0.4 s. Below 1 the masked step is cheaper; 0.4 of the cells are visible. *No
leak* is the law of `unmask encoders --check`, bit for bit. Models run one after another, and each is added to the table
when it is done, so that an interrupted run continues.

    OMP_NUM_THREADS=1 python benchmarks/encoder_families.py --out benchmarks/results/encoder_families.md
"""

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from cpu_time import seconds
from torch import Tensor

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.laws import leak
from unmask.encoders.masked import masked_encoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.stages import first_kernel
from unmask.errors import UserError
from unmask.masking import draw_masks
from unmask.training.engine import fast_layout

FAMILIES: dict[str, str] = {
    "ResNets": "resnet10t resnet18 resnet26d resnet50 resnetblur18 resnext26ts seresnet18 ecaresnet26t skresnet18 "
    "resnest14d res2net50_26w_4s gcresnext26ts wide_resnet50_2 resnetv2_18 resnetv2_50x1_bit legacy_seresnet18",
    "RegNets and kin": "regnetx_002 regnety_002 regnetz_b16 gernet_s nfnet_l0 eca_nfnet_l0 nf_regnet_b0",
    "ConvNeXts and kin": "convnext_atto convnext_tiny convnextv2_atto inception_next_atto mambaout_femto rdnet_tiny "
    "edgenext_xx_small convmixer_768_32",
    "EfficientNets": "efficientnet_b0 efficientnet_lite0 efficientnet_es tf_efficientnetv2_b0 mixnet_s mnasnet_small "
    "fbnetc_100 rexnet_100 tinynet_e hardcorenas_a",
    "MobileNets and other small CNNs": "mobilenetv1_100 mobilenetv2_035 mobilenetv3_small_050 mobilenetv4_conv_small "
    "lcnet_050 ghostnet_050 repghostnet_050 mobileone_s0 repvgg_a0 repvit_m0_9 starnet_s1 fasternet_t0 fastvit_t8",
    "DenseNets, DLA, VGG, DarkNets": "densenet121 dla34 dla46_c dpn48b vgg11_bn darknet17 darknet53 cspresnet50 "
    "cspdarknet53 cs3darknet_s cspnext_tiny hgnet_tiny hgnetv2_b0 vovnet39a ese_vovnet19b_dw selecsls42 tresnet_m "
    "hrnet_w18_small",
    "Inceptions": "inception_v3 xception41 legacy_xception",
    "ViTs on visible tokens": "vit_tiny_patch16_224 vit_small_patch16_224 deit_tiny_patch16_224 "
    "deit3_small_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 vit_relpos_small_patch16_224 "
    "vit_little_patch16_reg4_gap_256 vit_wee_patch16_reg1_gap_256 vit_small_patch14_reg4_dinov2",
    "Hierarchical ViTs": "hiera_tiny_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 "
    "pvt_v2_b0 davit_tiny mvitv2_tiny twins_svt_small nest_tiny focalnet_tiny_srf gcvit_xxtiny",
    "CNNs with attention": "mobilevit_xxs mobilevitv2_050 efficientformer_l1 efficientformerv2_s0 efficientvit_b0 "
    "efficientvit_m0 coatnet_pico_rw_224 maxvit_rmlp_pico_rw_256 botnet26t_256 halonet26t levit_conv_128s "
    "poolformer_s12 convformer_s18 swiftformer_xs tiny_vit_5m_224 nextvit_small shvit_s1 visformer_tiny "
    "vit_tiny_r_s16_p8_224",
    "Other tokens": "xcit_nano_12_p16_224 mixer_s32_224 cait_xxs24_224 pit_ti_224 volo_d1_224",
}
RATIO, SIZES = 0.6, (128, 224, 240, 256)
FEW, MANY, SECONDS = 4, 32, 0.4
"""Images per batch, chosen so that a plain step takes about this long."""


@dataclass(frozen=True)
class Row:
    """Result of one model."""

    name: str
    execution: str = ""
    size: int = 0
    batch: int = 0
    leak: float = 0.0
    cost: str = ""
    """Masked step over plain step: median and quartiles."""
    note: str = ""
    """Why it did not get an earlier execution, or why the model is refused."""

    def line(self) -> str:
        """A row of the table."""
        execution = self.execution or "refused"
        clean = ("yes" if self.leak == 0 else f"NO: {self.leak:.0e}") if self.execution else ""
        words = (self.name, execution, self.size or "", self.batch or "", clean, self.cost, self.note)
        return "| " + " | ".join(map(str, words)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--n", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = read_rows(options.out)
    for family in options.families:
        for name in FAMILIES[family].split():
            if name not in known:
                known[name] = measured(name, options.n).line()
                print(known[name], flush=True)
                options.out.write_text(text_of(known, options.n), encoding="utf-8")


def measured(name: str, n: int) -> Row:
    """The row of a model, at the first size that it takes."""
    row = Row(name, note="no size fits")
    for size in SIZES:
        try:
            return _measured(name, size, n)
        except UserError as error:
            row = Row(name, note=str(error)) if size == SIZES[0] else row
        except (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
            row = Row(name, note=f"{type(error).__name__}: {error}".splitlines()[0]) if size == SIZES[0] else row
    return row


def _measured(name: str, size: int, n: int) -> Row:
    model = build_model(EncoderConfig(encoder=name), in_chans=3, image_size=(size, size)).train()
    plain: Any = fast_layout(model)
    masked: Any = masked_encoder(deepcopy(plain), image_size=(size, size))
    ways = next(both_steps(plain, masked, size, FEW))
    for run in ways.values():  # what cannot run ends here
        run()
    batch = min(MANY, max(FEW, int(FEW * SECONDS / max(seconds(ways["plain"]), 1e-3))))
    images, hidden = drawn(masked, size, 2, 0)
    change = leak(masked, images, hidden)
    steps = both_steps(plain, masked, size, batch)
    next(steps)["masked"]()
    taken: dict[str, list[float]] = {"plain": [], "masked": []}
    for ways in itertools.islice(steps, n):
        for way, run in ways.items():
            taken[way].append(seconds(run))
    ratios = [one / other for one, other in zip(taken["masked"], taken["plain"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    note = (getattr(masked, "note", "") or "").replace("|", "/").partition(": ")[2].partition("; ")[0]
    return Row(name, masked.execution, size, batch, change, f"{middle:.2f} ({low:.2f} to {high:.2f})", note)


def drawn(encoder: Encoder, size: int, batch: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Draw images and their hidden cells."""
    generator = torch.Generator().manual_seed(epoch)
    channels = first_kernel(encoder.model).shape[1]
    images = torch.randn(batch, channels, size, size, generator=generator).to(memory_format=torch.channels_last)
    return images, draw_masks(MaskConfig(mask_ratio=RATIO), encoder.grid, seed=0, epoch=epoch, ids=range(batch))


def both_steps(plain: Any, masked: Any, size: int, batch: int) -> Iterator[dict[str, Callable[[], None]]]:
    """A step of each, repetition after repetition, each on its own images and masks."""
    for epoch in itertools.count():
        images, hidden = drawn(masked, size, batch, epoch)

        def whole(images: Tensor = images) -> None:
            plain.zero_grad(set_to_none=True)
            found = plain.forward_features(images)
            (found if isinstance(found, Tensor) else found[0]).square().sum().backward()

        def visible(images: Tensor = images, hidden: Tensor = hidden) -> None:
            masked.model.zero_grad(set_to_none=True)
            masked(images, hidden).maps[-1].square().sum().backward()

        yield {"plain": whole, "masked": visible}


def read_rows(file: Path) -> dict[str, str]:
    """The rows of a table by the name of their model."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {words[1].strip(): line for line in lines if len(words := line.split("|")) > 7 and words[1].strip() in NAMES}


def text_of(rows: dict[str, str], n: int) -> str:
    """All tables, one per family, with what was measured and the number of models per execution."""
    kinds = [line.split("|")[2].strip() for line in rows.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
    head = ["# Encoders by families: what each gets, and what its step costs", "", f"{len(rows)} models: {counts}.", ""]
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    head += [about, "", f"n = {n}, torch {torch.__version__}, timm {timm.__version__}."]
    body = []
    for family, names in FAMILIES.items():
        found = [rows[name] for name in names.split() if name in rows]
        title = "| model | execution | pixels | images | no leak | masked / plain step | note |"
        body += ["", f"## {family}", "", title, "|---|---|---|---|---|---|---|", *found] if found else []
    return "\n".join([*head, *body]) + "\n"


NAMES = frozenset(name for names in FAMILIES.values() for name in names.split())


if __name__ == "__main__":
    main()
