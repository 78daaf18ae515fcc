"""The stages of a run: pretraining and classification (fine-tuning and scratch are the same code)."""
