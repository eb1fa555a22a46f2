"""What the parts of a checkpoint must be for the run that config.yaml describes; each rule returns what breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..options.config import Resolved

SEEDS = 2**63  # seeds of torch's generators lie below


def fault(config: Resolved, parts: Mapping[str, Any]) -> str | None:
    """What of the parts that ``checkpoint.load`` read belongs to no such run; None: they are sound."""
    return (
        _fault_of_epochs(config, parts)
        or _fault_of_labels(config, parts)
        or _fault_of_weights(parts)
        or _fault_of_records(parts["records"])
    )


def fault_of_rows(labels: Tensor | None, n: int) -> str | None:
    """Whether the labels are not of n images."""
    if labels is None or len(labels) == n:
        return None
    return f"must hold labels of the {n} images of the run, got {len(labels)}"


def fault_of_optimiser(optimiser: torch.optim.Optimizer) -> str | None:
    """What the state that an optimiser has loaded lacks: torch itself looks at the number of parameters only."""
    for group in optimiser.param_groups:
        wrong = [name for name in optimiser.defaults if not isinstance(group.get(name, ""), int | float | None)]
        if wrong:
            return f"must hold an optimiser with {', '.join(optimiser.defaults)}, got no value for {wrong[0]}"
    if not all(_is_momentum(held, parameter) for parameter, held in optimiser.state.items()):
        return "must hold the optimiser's momentum, a finite number for every weight, got something else"
    return None


def _fault_of_epochs(config: Resolved, parts: Mapping[str, Any]) -> str | None:
    epoch, labels_epoch, seed = parts["epoch"], parts["labels_epoch"], parts["labels_seed"]
    if type(epoch) is not int or not 0 <= epoch <= config.epochs:
        return f"must be after 0 to {config.epochs} epochs, as config.yaml says, got {epoch}"
    if parts["labels"] is None:
        return f"must hold labels after {epoch} epochs, got none" if epoch else None
    if labels_epoch is None or seed is None:
        return "must say from when its labels are, but it does not"
    if type(labels_epoch) is not int or not 0 <= labels_epoch <= epoch:
        return f"must hold labels of 0 to {epoch} epochs, got some of {labels_epoch}"
    if type(seed) is not int or not 0 <= seed < SEEDS:
        return f"must hold a seed of its labels from 0 to {SEEDS - 1}, got {seed}"
    return None


def _fault_of_labels(config: Resolved, parts: Mapping[str, Any]) -> str | None:
    """The network's own weights do not tell 2 heads of 12 labels from 3 of 8."""
    labels, confidence, potentials = parts["labels"], parts["confidence"], parts["potentials"]
    if labels is None:
        return None
    heads, k = config.heads, config.k
    found = [tuple(part.shape) if isinstance(part, Tensor) else None for part in (labels, confidence, potentials)]
    n = len(labels) if labels.ndim else 0
    fits = n > 0 and found == [(n, heads), (n, heads), (heads, k)]
    if not fits or not 0 <= int(labels.min()) <= int(labels.max()) < k:
        return (
            f"must hold labels of {heads} heads, from 0 to {k - 1}, with their confidence and potentials, as "
            f"config.yaml says, got {' '.join(map(str, found))}"
        )
    if labels.dtype != torch.int64:
        return f"must hold labels of type int64, got {labels.dtype}"
    if not confidence.is_floating_point():
        return f"must hold confidence as floating-point numbers, got {confidence.dtype}"
    used = potentials.isfinite() if potentials.dtype == torch.float64 else torch.zeros(heads, k, dtype=torch.bool)
    if not (used | (potentials == -torch.inf)).all() or not used.any(1).all():
        return "must hold potentials as float64, finite, or -inf for labels without a share, got something else"
    return None


def _fault_of_weights(parts: Mapping[str, Any]) -> str | None:
    for held in (parts["model"], *parts["heads"].values()):
        for name, weight in held.items() if isinstance(held, dict) else ():
            if isinstance(weight, Tensor) and (weight.is_complex() or not weight.isfinite().all()):
                return f"must hold weights that are finite real numbers, but {name} has others"
    return None


def _fault_of_records(records: list[Any]) -> str | None:
    try:
        sound = all(isinstance(record, dict) for record in records) and json.dumps(records)
    except (TypeError, ValueError):
        sound = False
    return None if sound else "must hold the metrics of its epochs as JSON objects, got something else"


def _is_momentum(held: Any, parameter: Any) -> bool:
    if not isinstance(held, dict) or not isinstance(parameter, Tensor):  # torch keeps what it cannot place
        return False
    buffer = held.get("momentum_buffer")
    return buffer is None or (
        isinstance(buffer, Tensor) and buffer.shape == parameter.shape and bool(buffer.isfinite().all())
    )
