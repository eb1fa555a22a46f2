"""Output folders: what may be emptied, and what is."""

from __future__ import annotations

import pytest

from otlabel_torch.options.config import Config
from otlabel_torch.runs import folder
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import UsageError


@pytest.fixture
def config(tmp_path):
    return resolve(Config(out=tmp_path / "run"), 100, 16)


def test_what_is_not_there_or_empty_is_free(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        RunFolder(path).check_free(overwrite=False)


def test_what_a_run_has_written_may_be_overwritten(tmp_path):
    for name in folder.MADE | {".config.yaml.part"}:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder(tmp_path).check_free(overwrite=False)
    RunFolder(tmp_path).check_free(overwrite=True)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"also holds thesis\.tex"):
        RunFolder(tmp_path).check_free(overwrite=True)
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder(tmp_path / "thesis.tex").check_free(overwrite=True)


def test_a_link_in_the_folder_is_removed_and_what_it_leads_to_is_not(config, tmp_path):
    """Checkpoints may lie on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old.pt").touch()
    config.out.mkdir()
    (config.out / "checkpoints").symlink_to(tmp_path / "disk")
    RunFolder(config.out).begin(config)
    assert [entry.name for entry in config.out.iterdir()] == ["config.yaml"]
    assert (tmp_path / "disk" / "old.pt").exists()
    assert RunFolder(config.out).configuration() == config
