"""What was typed beside a run that goes on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from otlabel_torch.options.command import Typed
from otlabel_torch.options.config import Config, Resolved
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.runs.resume import resumed
from otlabel_torch.system.errors import UsageError


def typed(*words, default=None):
    return Typed.parse("train", default or Config(), words=list(map(str, words)))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A run of switches that are on and of paths, and the folder that its command was typed in."""
    monkeypatch.chdir(tmp_path)
    Path("shares.txt").write_text("1\n" * 5)
    words = ["--data", "folder", "--root", "images", "--prior", "shares.txt", "--k", "5", "--no-hidden", "--rotation"]
    words += ["--skip-bad-images", "--tensorboard", "--out", "run", "--lr-drops", "0.5", "3", "--augment", "moco"]
    config = resolve(typed(*words).options, 100, 16)
    _finished(config)
    return config, words


def _finished(config):
    folder = RunFolder(config.out)
    folder.save_configuration(dataclasses.replace(config, keep="memory"))
    folder.checkpoint.parent.mkdir()
    folder.checkpoint.touch()


def test_the_same_command_goes_on(kept):
    config, words = kept
    expected = dataclasses.replace(config, resume=True, keep="memory")
    for more in ([], ["--overwrite"], ["--keep", "auto"], ["--workers", str(config.workers)], ["--heads", "None"]):
        assert resumed(typed(*words, *more, "--resume")) == expected
    assert resumed(typed("--resume", "--out", "run")) == expected


def test_what_may_change_when_a_run_goes_on(kept):
    config, words = kept
    options = resumed(typed(*words, "--resume", "--device", "cpu", "--workers", "7", "--table", "parquet"))
    assert (options.device, options.workers, options.table) == ("cpu", 7, "parquet")
    assert options.root == config.root


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--k", "6"], "in which k is 5, not 6"),
        (["--heads", "9"], "in which heads is 10, not 9"),
        (["--controls"], "in which controls is False, not True"),
        (["--prior", "uniform"], r"in which prior is '.*shares.txt', not 'uniform'"),
        (["--root", "other"], r"in which root is .*images'\), not .*other'\)"),
        (["--epochs", "41"], "in which epochs is 40, not 41"),
    ],
)
def test_what_contradicts_a_run_is_refused(kept, more, message):
    with pytest.raises(UsageError, match=f"`resume` keeps the run's configuration, {message}. Leave the option out"):
        resumed(typed("--resume", "--out", "run", *more))


def test_a_switch_that_is_on_in_the_run_stays_on_unless_it_is_typed_off(kept):
    config, _words = kept
    _finished_again = dataclasses.replace(config, hidden=True)
    RunFolder(config.out).save_configuration(_finished_again)
    assert resumed(typed("--resume", "--out", "run")).hidden
    with pytest.raises(UsageError, match="in which hidden is True, not False"):
        resumed(typed("--resume", "--out", "run", "--no-hidden"))


@dataclass(frozen=True)
class More(Config):
    """Options that somebody adds, and edits nothing else."""

    mirror: bool = True
    """A switch that is on."""
    bank: Path | None = None
    """A path."""


@dataclass(frozen=True)
class MoreResolved(Resolved):
    mirror: bool = True
    bank: Path | None = None


def test_new_options_need_no_other_edit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def line(*words):
        return typed("--resume", "--out", "run", *words, default=More())

    fields = {field.name for field in dataclasses.fields(Resolved)}
    first = vars(resolve(Config(out=Path("run")), 100, 16))
    for on in (True, False):
        run = MoreResolved(**{name: first[name] for name in fields}, mirror=on, bank=Path("bank.npy")).absolute()
        assert run.bank == tmp_path / "bank.npy"
        folder = RunFolder(run.out)
        folder.save_configuration(run)
        folder.checkpoint.parent.mkdir(exist_ok=True)
        folder.checkpoint.touch()
        same = ["--bank", "bank.npy"] if on else ["--bank", "bank.npy", "--no-mirror"]
        for words in ([], same):
            again = resumed(line(*words), MoreResolved)
            assert (again.mirror, again.bank) == (on, tmp_path / "bank.npy")
        with pytest.raises(UsageError, match="in which bank is"):
            resumed(line("--bank", "other.npy"), MoreResolved)
    folder.save_configuration(dataclasses.replace(run, mirror=True))
    with pytest.raises(UsageError, match="in which mirror is True, not False"):
        resumed(line("--no-mirror"), MoreResolved)


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(UsageError, match="`resume` needs `out` DIR"):
        resumed(typed("--resume"))
    with pytest.raises(UsageError, match=r"`resume` needs .*last.pt, which is not there. Start without `resume`"):
        resumed(typed("--resume", "--out", tmp_path))
