"""Second-level models: any class with scikit-learn's `fit` and `predict_proba` or `predict`, by its class path."""

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import numpy as np

EXTRA = ("xgboost", "lightgbm", "catboost")
# These do not change training: no line per tree, no folder `catboost_info` in the working directory.
QUIET = {"lightgbm": {"verbose": -1}, "catboost": {"verbose": 0, "allow_writing_files": False}}


@dataclass(frozen=True)
class Target:
    """Targets to learn, one per row.

    Attributes:
        kind: `class`: one of C exclusive classes; `flags`: C independent labels, 0 or 1; `number`: C numbers.
        values: class numbers `(R,)` int64, or `(R, C)` float.
        classes: number of columns C.
    """

    kind: Literal["class", "flags", "number"]
    values: np.ndarray
    classes: int


@dataclass(frozen=True)
class Model:
    """A class with scikit-learn's interface and its arguments.

    Args:
        class_path: class path: `lightgbm.LGBMClassifier`, `sklearn.linear_model.LogisticRegression`.
        arguments: arguments of its constructor; `{class_path: …, init_args: …}` among them becomes an object.
        clip: probabilities are clipped to [clip, 1 - clip].
    """

    class_path: str
    arguments: dict[str, Any] = field(default_factory=dict)
    clip: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.clip < 0.5:
            raise ValueError(f"--clip is {self.clip}, expected 0 to 0.5: probabilities are clipped to [clip, 1 - clip]")

    def build(self, seed: int) -> Any:
        """Build an unfitted model; the seed is its `random_state`, unless the arguments set one.

        Raises:
            ImportError: its library is an extra that is not installed.
            ValueError: no such class, or arguments that it does not accept.
        """
        chosen = class_of(self.class_path)
        arguments = QUIET.get(self.class_path.split(".")[0], {}) | built(self.arguments)
        try:
            known = set(inspect.signature(chosen).parameters)
            if hasattr(chosen, "get_params"):
                known |= set(chosen(**arguments).get_params())
            if "random_state" in known and not {"random_state", "random_seed", "seed"} & set(arguments):
                arguments["random_state"] = seed
            model = chosen(**arguments)
        except TypeError as error:
            raise ValueError(f"{self.class_path} does not accept --model_args {self.arguments}: {error}") from error
        if not hasattr(model, "fit") or not hasattr(model, "predict"):
            raise ValueError(f"{self.class_path} has no fit and predict; expected a classifier or regressor")
        return model

    def fit_predict(
        self, x: np.ndarray, target: Target, others: Sequence[np.ndarray], seed: int = 0
    ) -> list[np.ndarray]:
        """Fit on some rows and predict others.

        A classifier predicts probabilities; a regressor on 0 and 1 numbers, clipped to 0..1 (XGBRegressor on cancer,
        Data Science Bowl 2017), one class against the rest with more than two classes. Every flag and every number has
        a model of its own.

        Args:
            x: features `(R, F)`.
            target: target of these rows.
            others: feature arrays `(r, F)` to predict; r may be 0.
            seed: seed of the model.

        Returns:
            Array `(r, C)` float32 for each of `others`: probabilities with sum 1, probabilities of flags, or numbers.

        Raises:
            ValueError: no row to train on, a classifier for numbers, or predictions that are not finite.
        """
        if len(x) == 0:
            raise ValueError("found no row to train on, expected one or more; lower --folds")
        classifies = hasattr(self.build(seed), "predict_proba")
        if target.kind == "number" and classifies:
            raise ValueError(
                f"{self.class_path} is a classifier, but the target is a number; use a regressor, such as "
                "lightgbm.LGBMRegressor"
            )
        if target.kind == "class" and classifies:
            found = self._classes(x, target.values, target.classes, others, seed)
        else:
            columns = target.values
            if target.kind == "class":
                columns = target.values[:, None] == np.arange(target.classes)[1 if target.classes == 2 else 0 :]
            learn = self._flag if classifies else self._number
            learned = [learn(x, values, others, seed) for values in columns.astype(np.float32).T]
            found = [np.stack([values[n] for values in learned], axis=1) for n in range(len(others))]
            if target.kind == "class" and target.classes == 2:
                found = [np.hstack([1 - yes, yes]) for yes in found]
        if target.kind == "number":
            return found
        found = [np.clip(one, self.clip, 1 - self.clip) for one in found]
        return [_normalised(one) for one in found] if target.kind == "class" else found

    def _classes(
        self, x: np.ndarray, values: np.ndarray, classes: int, others: Sequence[np.ndarray], seed: int
    ) -> list[np.ndarray]:
        """Probabilities `(r, classes)` by one classifier; 0 for a class without rows."""
        present, values = np.unique(values, return_inverse=True)  # xgboost requires 0 … n - 1 without gaps
        result = [np.zeros((len(other), classes), np.float32) for other in others]
        model = self.build(seed)
        if len(present) > 1:
            model.fit(x, values)
        for one, other in zip(result, others, strict=True):
            one[:, present] = predict(model, "predict_proba", other) if len(present) > 1 and len(other) else 1
        return result

    def _flag(self, x: np.ndarray, values: np.ndarray, others: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """Probability `(r,)` of a flag, by a classifier."""
        return [one[:, 1] for one in self._classes(x, values.astype(np.int64), 2, others, seed)]

    def _number(self, x: np.ndarray, values: np.ndarray, others: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """Number `(r,)`, by a regressor."""
        if (values == values[0]).all():  # CatBoost rejects a constant target
            return [np.full(len(other), values[0], np.float32) for other in others]
        model = self.build(seed)
        model.fit(x, values)
        found = [predict(model, "predict", other) if len(other) else np.zeros(0) for other in others]
        return [one.reshape(len(one)).astype(np.float32) for one in found]


def predict(model: Any, method: str, x: np.ndarray) -> np.ndarray:
    """Predict probabilities or numbers of rows.

    Raises:
        ValueError: a prediction is not finite.
    """
    with warnings.catch_warnings():
        # LightGBM names the columns of an array itself and then warns that the next array has no names.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        result = np.asarray(getattr(model, method)(x))
    if not np.isfinite(result).all():
        raise ValueError(f"{type(model).__name__} predicts values that are not finite; check --model_args")
    return result


def class_of(class_path: str) -> Any:
    """Import the class of a dotted path.

    Raises:
        ImportError: its library is not installed; names the extra.
        ValueError: there is no such class.
    """
    module, _, name = class_path.rpartition(".")
    if not module:
        raise ValueError(
            f"{class_path!r} is not a class_path, expected for example sklearn.linear_model.LogisticRegression"
        )
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if module.split(".")[0] in EXTRA:
            raise ImportError(f'{class_path} requires {error.name}: pip install -e ".[stack]"') from error
        raise ValueError(f"{class_path}: module {error.name!r} does not exist") from error
    if not inspect.isclass(found):
        raise ValueError(f"{class_path}: module {module} has no class {name!r}")
    return found


def built(value: Any) -> Any:
    """Build objects from every `{class_path, init_args}` in arguments."""
    if isinstance(value, dict) and "class_path" in value:
        return class_of(value["class_path"])(**built(value.get("init_args") or {}))
    if isinstance(value, dict):
        return {name: built(one) for name, one in value.items()}
    return [built(one) for one in value] if isinstance(value, list) else value


def _normalised(probabilities: np.ndarray) -> np.ndarray:
    """Normalise rows to sum 1; a row of zeros (every regressor predicts 0) becomes equal."""
    total = probabilities.sum(axis=1, keepdims=True)
    equal = np.full_like(probabilities, 1 / max(1, probabilities.shape[1]))
    return np.where(total > 0, probabilities / np.where(total > 0, total, 1), equal).astype(np.float32)
