"""What a user can mend: the message states the rule, what was found, and the remedy. Commands print it and end.

Options are called by their names, between backticks: "`batch_size` must be ...". A command shows them as they are
typed, --batch-size; whoever calls the library reads the names of its arguments.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What all of these are."""


class DataError(UserError):
    """The images or labels, or the files of a run, cannot be used."""


class UsageError(UserError):
    """The options do not fit together, or do not fit the data."""


class TrainingError(UserError):
    """Training cannot go on."""


class UnwritableError(UserError):
    """A file cannot be written; what was there before still is."""


@contextmanager
def memory_errors() -> Iterator[None]:
    """Inside, torch's errors for want of memory become MemoryError; it has them as RuntimeError, among all others."""
    try:
        yield
    except RuntimeError as error:
        line = (str(error).splitlines() or [""])[0]
        if not any(words in line for words in ("allocate memory", "Tried to allocate", "Storage size")):
            raise
        raise MemoryError(line.rpartition("] ")[2]) from error
