"""From what is typed to a configuration, and from an error to one line."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import tyro

from ..system.errors import UnwritableError, UserError
from .config import PRESETS, Config

FLAGS = (tyro.conf.FlagCreatePairsOff,)  # a switch has one name: --resume, --no-hidden
OPTION = re.compile(r"`(\w+)`")  # as errors name an option, and others whatever they quote


@dataclass(frozen=True)
class Typed:
    """A command line: the value of every option, and the names of those that were typed."""

    options: Config
    names: frozenset[str]

    @classmethod
    def parse(
        cls, program: str, default: Config, description: str | None = None, words: Sequence[str] | None = None
    ) -> Typed:
        """Read a command line.

        Args:
            default: what stands for options that are not typed, and declares which there are.
            words: that were typed after the program's name; None: those of this process.
        """
        words = sys.argv[1:] if words is None else words
        options = tyro.cli(
            type(default), args=words, prog=program, default=default, description=description, config=FLAGS
        )
        # tyro takes whole names only, a value never begins with --, and a switch that is on is typed --no-NAME.
        heads = {word.partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
        names = (field.name for field in dataclasses.fields(default))
        return cls(options, frozenset(name for name in names if heads & {f"__{name}", f"__no_{name}"}))

    def over(self, base: Config) -> Config:
        """``base`` with all that was typed."""
        return dataclasses.replace(base, **{name: getattr(self.options, name) for name in self.names})


def preset(typed: Typed) -> Config:
    """What the preset says, or the defaults."""
    name = typed.options.preset
    return Config() if name is None else Config.read(PRESETS / f"{name}.yaml")


@contextmanager
def one_line_errors(
    declared: type = Config, *, unwritable: str = "", interrupted: str = "nothing was written"
) -> Iterator[None]:
    """End the program with one line and exit status 1 where a user can mend what is wrong, or has had enough.

    Args:
        declared: the dataclass of the program's options.
        unwritable: what can be done beside making room, where a file cannot be written.
        interrupted: what stands of the work.
    """
    try:
        yield
    except UnwritableError as error:
        sys.exit(f"error: {as_typed(error, declared)}{unwritable}")
    except UserError as error:
        sys.exit(f"error: {as_typed(error, declared)}")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {as_typed(error, declared)}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {interrupted}")


def as_typed(error: BaseException, declared: type = Config) -> str:
    """An error on one line, its options as they are typed: those of training, which remedies name, and the program's.

    Other words between backticks stay: an error may quote what another library says.
    """
    options = (*dataclasses.fields(Config), *dataclasses.fields(declared))
    names = {option.name for option in options if option.default is not dataclasses.MISSING}  # else typed without it
    line = " ".join(str(error).splitlines())
    return OPTION.sub(lambda found: "--" + found[1].replace("_", "-") if found[1] in names else found[0], line)
