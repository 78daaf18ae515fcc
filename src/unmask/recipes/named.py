"""Named complete configurations as functions. A recipe is everything but the data, the seeds and the budgets.

Each says for which images it is meant and where its numbers come from; measured tables are in docs/recipes.md.
"""

from collections.abc import Callable
from dataclasses import replace

from unmask.config import (
    AugmentConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.recipes.definition import Recipe


def multiview() -> Recipe:
    """The paper's two-layer encoder on the built-in images with known parts, the second part at 0.6 of the strength.

    Parts lie on a lattice of 4 pixels, as the paper's features fill patches, so that the encoder's stride of 4 fits.
    Found on images of another seed (other textures): pixels, linear decoder, small batches, noise that scratch cannot
    see through with few labels.
    """
    still = AugmentConfig(crop_scale=(1.0, 1.0), flip_horizontal=0.0)
    finetune = ClassifyRecipe(
        augment=still,
        optimizer=OptimizerConfig(steps=300, batch_size=64, lr=1e-3, weight_decay=0.0, betas=(0.9, 0.999)),
        head_steps=150,
        head_lr=3e-3,
        encoder_lr_scale=0.1,
        label_smoothing=0.0,
    )
    scratch = replace(finetune, head_steps=0, encoder_lr_scale=1.0)
    longer = replace(scratch, optimizer=replace(scratch.optimizer, steps=600))
    return Recipe(
        encoder=EncoderConfig(encoder="patchnet", encoder_options={"width": 128, "stride": 4}),
        pretrain=PretrainRecipe(
            augment=still,
            mask=MaskConfig(cell=4, mask_ratio=0.5),
            target=TargetConfig(target="pixels", decoder="linear", decoder_width=128),
            optimizer=OptimizerConfig(min_epochs=12, batch_size=32, lr=6e-3, weight_decay=0.0),
        ),
        finetune=finetune,
        scratch_candidates=(scratch, longer),
        data=DataConfig(
            data="multiview",
            options={"images": 6000, "step": 4, "noise": 0.4, "clutter": 0.2, "distractor_strength": 0.25},
        ),
    )


def small_cnn() -> Recipe:
    """A 440 thousand parameter BatchNorm ResNet for images of 16 to 64 pixels, on a CPU."""
    crop = AugmentConfig(crop_scale=(0.6, 1.0), flip_horizontal=0.5)
    finetune = ClassifyRecipe(
        augment=crop,
        optimizer=OptimizerConfig(steps=600, batch_size=32, lr=3e-3, betas=(0.9, 0.999)),
        head_steps=100,
        head_lr=3e-3,
    )
    scratch = replace(finetune, head_steps=0)
    longer = replace(scratch, optimizer=replace(scratch.optimizer, steps=1200))
    slower = replace(longer, optimizer=replace(longer.optimizer, lr=1e-3))
    return Recipe(
        encoder=EncoderConfig(
            encoder="resnet10t",
            encoder_options={"channels": (24, 48, 96, 128), "stem_width": 4, "stem_type": "deep", "avg_down": False},
            unstrided=1,
        ),
        pretrain=PretrainRecipe(
            augment=crop,
            mask=MaskConfig(cell=4, mask_ratio=0.6),
            target=TargetConfig(target="normalized_pixels", decoder_width=32, decoder_depth=1),
            optimizer=OptimizerConfig(min_epochs=10, min_steps=1500, batch_size=128, lr=2e-3),
        ),
        finetune=finetune,
        scratch_candidates=(scratch, longer, slower),
        data=DataConfig(image_size=(32, 32)),
    )


def photo_cnn() -> Recipe:
    """A 1.2 million parameter BatchNorm ResNet for photographs at 96 pixels, on a CPU or of a few thousand images.

    Chosen by the time of a step on one core, with 6 x 6 cells that the last map can tell apart: the last stage is
    dilated, not strided. What it gains was not measured when it was chosen.
    """
    small = small_cnn()
    finetune = replace(small.finetune, optimizer=replace(small.finetune.optimizer, steps=250))
    scratch = replace(finetune, head_steps=0)
    longer = replace(scratch, optimizer=replace(scratch.optimizer, steps=500))
    slower = replace(longer, optimizer=replace(longer.optimizer, lr=1e-3))
    return replace(
        small,
        encoder=EncoderConfig(
            encoder="resnet10t",
            encoder_options={
                "channels": (32, 64, 128, 256),
                "stem_width": 4,
                "stem_type": "deep",
                "avg_down": False,
                "output_stride": 16,
            },
        ),
        pretrain=replace(
            small.pretrain,
            mask=MaskConfig(cell=16, mask_ratio=0.6),
            target=replace(small.pretrain.target, decoder_width=64),
            optimizer=replace(small.pretrain.optimizer, min_steps=1000, batch_size=64, lr=1e-3),
        ),
        finetune=finetune,
        scratch_candidates=(scratch, longer, slower),
        data=DataConfig(image_size=(96, 96)),
    )


def masked_resnet50() -> Recipe:
    """ResNet-50 at 224 px with masked convolution (as SparK, Tian et al. 2023; paper: 300 + 100 epochs on ImageNet)."""
    crop = AugmentConfig(crop_scale=(0.4, 1.0), flip_horizontal=0.5)
    return _large(
        EncoderConfig(encoder="resnet50"),
        PretrainRecipe(
            augment=crop,
            mask=MaskConfig(mask_ratio=0.6),
            target=TargetConfig(decoder_width=256, decoder_depth=2),
            optimizer=OptimizerConfig(min_epochs=300, min_steps=1500, batch_size=1024, lr=8e-4, precision="bf16"),
        ),
        layer_decay=0.75,
    )


def mae_vit_small() -> Recipe:
    """ViT-S/16 at 224 px on visible tokens with a transformer decoder (MAE, He et al. 2022)."""
    crop = AugmentConfig(crop_scale=(0.2, 1.0), flip_horizontal=0.5)
    return _large(
        EncoderConfig(encoder="vit_small_patch16_224"),
        PretrainRecipe(
            augment=crop,
            mask=MaskConfig(mask_ratio=0.75),
            target=TargetConfig(decoder="transformer", decoder_width=256, decoder_depth=4),
            optimizer=OptimizerConfig(min_epochs=300, min_steps=1500, batch_size=1024, lr=6e-4, precision="bf16"),
        ),
        layer_decay=0.75,
    )


def _large(encoder: EncoderConfig, pretrain: PretrainRecipe, layer_decay: float) -> Recipe:
    finetune = ClassifyRecipe(
        augment=replace(pretrain.augment, crop_scale=(0.2, 1.0)),
        optimizer=OptimizerConfig(steps=5000, batch_size=128, lr=1e-3, betas=(0.9, 0.999), precision="bf16"),
        head_steps=200,
        layer_decay=layer_decay,
        mixup=0.2,
    )
    scratch = replace(finetune, head_steps=0, layer_decay=1.0)
    longer = replace(scratch, optimizer=replace(scratch.optimizer, steps=10000))
    return Recipe(
        encoder=encoder,
        pretrain=pretrain,
        finetune=finetune,
        scratch_candidates=(scratch, longer),
        data=DataConfig(image_size=(224, 224)),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "multiview": multiview,
    "small-cnn": small_cnn,
    "photo-cnn": photo_cnn,
    "masked-resnet50": masked_resnet50,
    "mae-vit-small": mae_vit_small,
}
