"""Every task there is, as the type of what JSON files hold."""

from unmask.tasks.classification import Classification
from unmask.tasks.multilabel import Multilabel
from unmask.tasks.regression import Regression
from unmask.tasks.segmentation import Segmentation

AnyTask = Classification | Multilabel | Regression | Segmentation
