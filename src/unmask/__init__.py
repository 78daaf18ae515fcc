"""Mask-reconstruction pretraining of image encoders, compared honestly with training from scratch."""

__version__ = "0.1.0"
