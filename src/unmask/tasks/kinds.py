"""All tasks, as the type of their JSON."""

from unmask.tasks.classification import Classification
from unmask.tasks.multilabel import Multilabel
from unmask.tasks.regression import Regression
from unmask.tasks.segmentation import Segmentation

AnyTask = Classification | Multilabel | Regression | Segmentation
