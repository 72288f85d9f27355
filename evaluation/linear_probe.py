"""A linear probe: how much of the labels a linear map can read from features that were not trained for them.

It is fitted by scikit-learn and then stands by itself: a few tensors, saved as safetensors.
"""

import json
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, system_reason
from ..modeling_pyratok.optional_libraries import needs_extra
from ..modeling_pyratok.token_files import canonical_json

REGULARIZATIONS = tuple(10.0**power for power in range(-4, 3))
"""What is tried for scikit-learn's C, the inverse strength; where the accuracy is equal the strongest wins."""

FOLDS = 5
MAX_STEPS = 2000
METADATA_KEY = "pyratok_linear_probe"
TENSORS = ("mean", "scale", "weight", "bias")


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Standardisation and multinomial logistic regression, in double precision."""

    classes: tuple[str, ...]
    """K labels."""
    mean: torch.Tensor
    """(D,), of the features it was fitted on."""
    scale: torch.Tensor
    """(D,), their standard deviation, 1 for a feature that is constant."""
    weight: torch.Tensor
    """(K, D)."""
    bias: torch.Tensor
    """(K,)."""
    levels: tuple[int, ...] | None = None
    """Levels of the tokens that its features are of; None if nothing says."""
    fingerprint: str | None = None
    """A name for the weights that its features come from; None if nothing says."""

    def __post_init__(self) -> None:
        """Raises ValueError for classes that are fewer than two or not distinct, and tensors of wrong shapes or values."""
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"the classes must be two or more, each once, got {list(self.classes)!r:.200}")
        dim = self.mean.shape[0] if self.mean.dim() == 1 else 0
        count = len(self.classes)
        for name, shape in zip(TENSORS, ((dim,), (dim,), (count, dim), (count,)), strict=True):
            tensor = getattr(self, name)
            if not dim or tensor.shape != shape or tensor.dtype != torch.float64 or not tensor.isfinite().all():
                raise ValueError(
                    f"{name} must be finite float64 {shape} for {count} classes, got {tensor.dtype} {tuple(tensor.shape)}"
                )
            # A copy, because where a tensor begins in memory decides how its products are rounded.
            object.__setattr__(self, name, tensor.detach().cpu().clone(memory_format=torch.contiguous_format))
        if not (self.scale > 0).all():
            raise ValueError("scale must be positive")

    def scores(self, features: torch.Tensor | np.ndarray) -> torch.Tensor:
        """The probability of every class: features (N, D) -> float64 (N, K), each row sums to 1. Raises ValueError."""
        features = torch.as_tensor(features).detach().cpu().double()
        if features.dim() != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"features must be (N, {len(self.mean)}), got {tuple(features.shape)}")
        return torch.softmax((features - self.mean) / self.scale @ self.weight.T + self.bias, dim=-1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the probe as safetensors, all but its tensors in the metadata. Raises PyraTokError if it cannot be written."""
        levels = None if self.levels is None else list(self.levels)
        content = {"version": 1, "classes": list(self.classes), "levels": levels, "fingerprint": self.fingerprint}
        metadata = {METADATA_KEY: canonical_json(content)}
        with atomic_path(path) as temporary:
            save_file({name: getattr(self, name) for name in TENSORS}, temporary, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The probe in a file. Raises PyraTokError if it cannot be read or is none."""
        name = os.fspath(path)
        try:
            with safe_open(name, framework="pt") as file:
                classes, levels, fingerprint = _metadata((file.metadata() or {}).get(METADATA_KEY))
                if sorted(file.keys()) != sorted(TENSORS):
                    raise ValueError(f"its tensors must be {', '.join(TENSORS)}, got {', '.join(file.keys()):.200}")
                return cls(classes, *(file.get_tensor(tensor) for tensor in TENSORS), levels, fingerprint)
        except OSError as problem:
            raise PyraTokError(f"cannot read the linear probe {name!r}: {system_reason(problem)}") from problem
        except (ValueError, SafetensorError) as problem:
            raise PyraTokError(f"{name!r} is no linear probe, or is damaged: {problem}") from problem


def fit_linear_probe(features: torch.Tensor | np.ndarray, labels: Sequence[str], seed: int) -> LinearProbe:
    """Fit a probe; how strongly it is regularised is chosen by cross-validation, with folds drawn from the seed.

    Args:
        features: (N, D), one row for each training video.
        labels: (N,), of two classes or more. Classes with one video are learnt, but are never right in the folds.
        seed: the same features, labels and seed give the same probe.

    Raises:
        PyraTokError: if there are fewer than two classes, or no class has two videos; if scikit-learn is missing.
        ValueError: for features that are not finite (N, D).
    """
    rows = torch.as_tensor(features).detach().cpu().double().numpy()
    if rows.ndim != 2 or 0 in rows.shape or len(rows) != len(labels) or not np.isfinite(rows).all():
        raise ValueError(f"features must be finite ({len(labels)}, D) for these labels, got {rows.shape}")
    counts = Counter(labels)
    if len(counts) < 2 or max(counts.values()) < 2:
        raise PyraTokError(
            f"a linear probe needs two classes or more, and two videos or more of one of them; got {len(labels)} videos of "
            f"{len(counts)}"
        )
    with needs_extra("evaluate"):
        from sklearn.preprocessing import StandardScaler

    regularization = _best_regularization(rows, labels, min(FOLDS, max(counts.values())), seed)
    scaler = StandardScaler().fit(rows)
    fitted = _regression(regularization).fit(scaler.transform(rows), list(labels))
    weight, bias = fitted.coef_, fitted.intercept_
    if len(counts) == 2:  # scikit-learn has one row then: what is to be added for the second class
        weight, bias = np.concatenate((0 * weight, weight)), np.concatenate((0 * bias, bias))
    tensors = (torch.tensor(value, dtype=torch.float64) for value in (scaler.mean_, scaler.scale_, weight, bias))
    return LinearProbe(tuple(str(label) for label in fitted.classes_), *tensors)


def _regression(regularization: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=regularization, max_iter=MAX_STEPS)


def _best_regularization(rows: np.ndarray, labels: Sequence[str], folds: int, seed: int) -> float:
    """The one of REGULARIZATIONS with the highest accuracy on held-out folds; (N, D) features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    accuracies = []
    for regularization in REGULARIZATIONS:
        model = make_pipeline(StandardScaler(), _regression(regularization))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class in y has only")
            warnings.simplefilter("ignore", ConvergenceWarning)  # of candidates that need not be taken
            accuracies.append(cross_val_score(model, rows, list(labels), cv=splitter, error_score="raise").mean())
    return REGULARIZATIONS[int(np.argmax(accuracies))]


def _metadata(text: str | None) -> tuple[tuple[str, ...], tuple[int, ...] | None, str | None]:
    """The classes, levels and fingerprint in the metadata. Raises ValueError."""
    if text is None:
        raise ValueError("it has no metadata of one")
    metadata = json.loads(text)
    classes = metadata.get("classes") if isinstance(metadata, dict) else None
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        raise ValueError("its metadata has no list of classes")
    if metadata.get("version") != 1:
        raise ValueError(f"its version is {metadata.get('version')!r:.50}, and this PyraTok reads version 1")
    levels, fingerprint = metadata.get("levels"), metadata.get("fingerprint")
    if levels is not None:
        if not isinstance(levels, list) or not levels or not all(type(level) is int for level in levels):
            raise ValueError(f"its levels are {levels!r:.50}, and not whole numbers")
        levels = tuple(levels)
    if not isinstance(fingerprint, str | None):
        raise ValueError(f"its fingerprint is {fingerprint!r:.50}, and no text")
    return tuple(classes), levels, fingerprint
