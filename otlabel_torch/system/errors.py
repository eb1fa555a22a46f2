"""What a user can mend: the message states the rule, what was found, and the remedy. Commands print it and end."""


class DataError(Exception):
    """The images or labels cannot be used."""


class UsageError(Exception):
    """The options do not fit together, or do not fit the data."""


class TrainingError(Exception):
    """Training cannot go on."""


class UnwritableError(Exception):
    """A file cannot be written; what was there before still is."""
