"""The champion as MLflow loads it: a script that names the model, so that nothing is pickled.

Source: MLflow's documentation, "Models from code".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from cifar_tricks.evaluation.classifier import load_classifier


class Champion(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Images in, probabilities out; see :class:`cifar_tricks.evaluation.classifier.Classifier`."""

    def load_context(self, context: Any) -> None:
        """Loads the net from the files that were logged with it."""
        self.classifier = load_classifier(Path(context.artifacts["champion"]))

    def predict(self, model_input: np.ndarray) -> np.ndarray:
        """Probabilities float32 (N, classes) of images uint8 (N, H, W, 3)."""
        return self.classifier.probabilities(np.asarray(model_input))


mlflow.models.set_model(Champion())
