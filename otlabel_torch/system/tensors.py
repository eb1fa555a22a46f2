"""Files of tensors, which nothing but ``weights_only`` reads."""

from __future__ import annotations

import pickle
import warnings
from typing import Any, BinaryIO

import torch


def read(file: BinaryIO) -> tuple[Any, str | None]:
    """What ``torch.save`` wrote, in host memory, and why it cannot be read, on one line; None: it was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of pickles that it goes on to refuse
            return torch.load(file, map_location="cpu", weights_only=True), None
    except pickle.UnpicklingError:  # torch advises to read it all the same, at one's own risk
        return None, "it is damaged, or holds more than tensors and plain values"
    except (OSError, EOFError):  # it looks for what lies beyond the end
        return None, "it is cut off"
    except Exception as error:  # damaged bytes make torch's reader raise almost anything
        return None, (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
