"""What is learnt of an image: each task as a frozen dataclass with its labels, loss, scores and probe."""
