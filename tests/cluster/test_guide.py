"""docs/clusters.md, run as it is written; and what is said where scikit-learn is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

GUIDE = Path(__file__).parents[2] / "docs" / "clusters.md"


def test_the_guide_runs_and_what_it_says_is_so():
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    model = names["model"]
    assert set(model.sizes_) == {100}
    assert abs(model.gap_) < 1e-9
    assert names["loose"].sizes_.min() >= 50
    assert names["loose"].sizes_.max() <= 200
    assert ((names["loose"].potentials_ < 0) <= (names["loose"].sizes_ == 200)).all()
    assert ((names["loose"].potentials_ > 0) <= (names["loose"].sizes_ == 50)).all()
    assert set(names["coder"].sizes_.ravel()) == {187, 188}
    np.testing.assert_array_equal(np.bincount(model.predict(names["new"], balanced=True)), np.full(30, 2))


def test_without_scikit_learn_the_remedy_is_named_and_otlabel_works():
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport otlabel\n"
        "try: import otlabel.cluster\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "otlabel.cluster needs scikit-learn: pip install 'otlabel[cluster]'.\n"
