"""What was typed, what it means beside a preset, and how errors are shown."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otlabel_torch import predict
from otlabel_torch.options.command import Typed, as_typed, one_line_errors, preset
from otlabel_torch.options.config import Config
from otlabel_torch.options.of_evaluate import EvaluateOptions
from otlabel_torch.system.errors import UnwritableError, UsageError


def typed(*words):
    return Typed.parse("train", Config(), words=list(map(str, words)))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], set()),
        (["--k", "17", "--batch_size", "4"], {"k", "batch_size"}),  # tyro takes both spellings
        (["--k=17", "--no-hidden", "--resume"], {"k", "hidden", "resume"}),
        (["--epochs", "40"], {"epochs"}),  # the default, but typed
        (["--init=--k", "--lr-drops", "1", "2"], {"init", "lr_drops"}),
        (["--lr", "-1"], {"lr"}),
    ],
)
def test_what_was_typed(words, names):
    assert typed(*words).names == names


def test_names_are_typed_whole():
    """As what was typed is found by its name."""
    with pytest.raises(SystemExit):
        typed("--epoch", "3")


def test_what_is_typed_has_precedence_over_a_preset():
    line = typed("--preset", "imagenet-resnet50", "--k", "17", "--epochs", "40")
    config = line.over(preset(line))
    assert (config.k, config.epochs, config.hidden, config.arch) == (17, 40, False, "resnet50")


def test_errors_are_shown_on_one_line_with_options_as_they_are_typed():
    assert as_typed(UsageError("`batch_size` 3\nis not `k`.")) == "--batch-size 3 is not --k."
    foreign = UsageError("`init` failed: call `load_state_dict` with `strict=False`, or `run` it; `layers` 1.")
    shown = "--init failed: call `load_state_dict` with `strict=False`, or `run` it; {} 1."
    assert as_typed(foreign) == shown.format("`layers`")
    assert as_typed(foreign, EvaluateOptions) == shown.format("--layers")
    assert as_typed(UsageError("`part` val"), predict.Options) == "--part val"
    with (
        pytest.raises(SystemExit, match=r"^error: --k is no file. Make room\.$"),
        one_line_errors(unwritable=". Make room."),
    ):
        raise UnwritableError("`k` is no file")
    with (
        pytest.raises(SystemExit, match=r"^interrupted: half of it stands$"),
        one_line_errors(interrupted="half of it stands"),
    ):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit, match=r"^error: out of memory"), one_line_errors():
        raise MemoryError


@pytest.mark.parametrize("command", ["train", "retrain", "predict", "evaluate"])
def test_help_needs_no_torch(command):
    """It takes seconds to import."""
    code = f"import sys, otlabel_torch.{command}\nprint(*({{'torch', 'sklearn', 'numba'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
