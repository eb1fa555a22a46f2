"""Shares of labels, from a file."""

from __future__ import annotations

import pytest

from otlabel_torch.labels.priors import shares
from otlabel_torch.system.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "`prior` must be uniform, zipf or a file of numbers"),
        ("1\n2\n", "must hold a line for each of the 3 labels and one column, or 2"),
        ("1\nx\n3\n", "must be uniform, zipf or a file of numbers"),
        ("1\n-1\n3\n", "must hold finite numbers of 0 or more, not all 0, got -1"),
        ("0\n0\n0\n", "not all 0"),
    ],
)
def test_bad_priors(tmp_path, text, message):
    path = tmp_path / "prior.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        shares(str(path), 3, 2)
