"""Options that cannot be: every rule, what was given, and the remedy, before any work."""

from __future__ import annotations

from ..images.images import check_size
from ..labels.priors import shares
from ..labels.tables import pyarrow_parquet
from ..network import models
from ..network.collect import BATCH
from ..options.config import Config, Resolved
from ..options.kinds import ASSIGNERS, LOSSES
from ..system.errors import UsageError
from .tensorboard import summary_writer

RANGES = {  # of numbers: beyond them float32 has no numbers left to learn with
    "epsilon": (1e-9, 1e9),
    "lr": (1e-12, 1e6),
    "weight_decay": (0.0, 1e6),
    "mixup": (0.0, 1e3),
    "lr_drops": (1e-9, 1e9),
}
LEAST_MIXUP = 0.01  # below it draws from Beta are 0, 1, or no numbers of use


def check_early(options: Config) -> None:
    """What needs no images to be seen."""
    check_choices(options)
    if options.table == "parquet":
        pyarrow_parquet()
    if options.tensorboard:
        summary_writer()


def check_choices(options: Config) -> None:
    """What fits together or does not, whatever the images and the machine."""
    LOSSES[options.loss]  # raises if there is none of that name
    if options.pixel_range is not None and not options.pixel_range[0] < options.pixel_range[1]:
        low, high = options.pixel_range
        raise UsageError(f"`pixel_range` must be LOW HIGH with LOW below HIGH, got {low:g} {high:g}.")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"`workers` must be at least 1, got {options.workers}.")
    if options.prior != "uniform" and options.rounding == "argmax":
        raise UsageError(
            f"`prior` {options.prior} needs `rounding` balanced: the largest entry of a row is the common label's."
        )
    takes_labels = ASSIGNERS[options.assigner].needs == "table"
    if takes_labels and options.labels is None:
        raise UsageError(f"`assigner` {options.assigner} needs `labels` FILE, got none. Add it.")
    if not takes_labels and options.labels is not None:
        raise UsageError(
            f"`assigner` {options.assigner} takes no `labels`, got {options.labels}. Leave it out, or choose "
            "`assigner` file."
        )


def check_alone(config: Resolved) -> None:
    """What needs no images to be seen, once every choice is made.

    Raises:
        UserError: an option has a value that no run can have.
    """
    for name in ("k", "heads", "epochs", "accumulate", "train_size", "batch_size"):
        if getattr(config, name) < 1:
            raise UsageError(f"`{name}` must be at least 1, got {getattr(config, name)}.")
    for name in ("relabels", "views", "seed"):
        if getattr(config, name) < 0:
            raise UsageError(f"`{name}` must be at least 0, got {getattr(config, name)}.")
    for name, (least, most) in RANGES.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not least <= number <= most:
                raise UsageError(f"`{name}` must be from {least:g} to {most:g}, got {number:g}.")
    if 0 < config.mixup < LEAST_MIXUP:
        raise UsageError(f"`mixup` must be 0 or at least {LEAST_MIXUP:g}, got {config.mixup:g}.")
    if config.small_views and not config.views:
        raise UsageError("`small_views` needs `views` of 1 or more, got 0: labels come from the image itself.")
    check_size(config.image_size)
    models.check_arch(config.arch, config.image_size)


def check(config: Resolved, n: int, processes: int, labels: tuple[int, int] | None = None) -> None:
    """Raise UsageError if n images cannot be trained on as the configuration says.

    Args:
        labels: heads and k of the labels of a file.
    """
    check_alone(config)
    check_train_size(config)
    _check_rules(config, labels)
    _check_batches(config, n, processes)
    if config.seed + config.epochs + config.heads >= 2**32:
        raise UsageError(f"`seed` must stay below 2**32 with the epochs and heads added, got {config.seed}.")
    if config.k > n:
        raise UsageError(f"`k` must not exceed the number of images: k={config.k}, images={n}. Lower `k`.")


def check_train_size(config: Resolved) -> None:
    """Raise UsageError if the network takes no images of the size that it is to be trained on."""
    if config.train_size != config.image_size:
        models.check_train_size(config.arch, config.image_size, config.train_size)


def _check_rules(config: Resolved, labels: tuple[int, int] | None) -> None:
    assigner = ASSIGNERS[config.assigner]
    if not assigner.updates and config.relabels > 1:
        raise UsageError(
            f"`assigner` {config.assigner} never updates its labels: `relabels` must be 1, got {config.relabels}."
        )
    if labels is not None and (config.heads != labels[0] or config.k < labels[1]):
        raise UsageError(
            f"`labels` {config.labels} has {labels[0]} heads and labels below {labels[1]}: `heads` must be {labels[0]} "
            f"and `k` at least {labels[1]}, got {config.heads} and {config.k}. Leave both out."
        )
    if shares(config.prior, config.k, config.heads) is not None and not assigner.uses_transport:
        raise UsageError(
            f"`prior` {config.prior} binds transport only: `assigner` {config.assigner} has its own sizes."
        )
    if config.rotation and config.relabels == 0:
        raise UsageError("`rotation` is learned in training: `relabels` must be at least 1, got 0.")


def _check_batches(config: Resolved, n: int, processes: int) -> None:
    if config.batch_size > n:
        raise UsageError(f"`batch_size` must not exceed the number of images: {config.batch_size} > {n}. Lower it.")
    parts = processes * config.accumulate
    if config.batch_size % parts:
        raise UsageError(
            f"`batch_size` must be a multiple of the processes times `accumulate`, {processes} x {config.accumulate}, "
            f"got {config.batch_size}."
        )
    if config.batch_size < 2 * parts:
        raise UsageError(
            f"`batch_size` must be at least {2 * parts}, 2 images for each part's batch normalisation, "
            f"got {config.batch_size}."
        )
    least = 2 * BATCH * processes
    if processes > 1 and n < least:
        raise UsageError(
            f"{processes} processes need at least {least} images to deal out, got {n}. Start fewer processes."
        )
