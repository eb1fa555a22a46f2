"""The command ``otlabel-bench``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from . import machine, suite
from .own import ROUNDINGS, usable
from .peers import PEERS
from .problems import REGIMES, made, stored
from .process import Job, Row

PEER_NAMES = {peer.name.lower().replace(",", "").replace(" ", "-"): peer for peer in PEERS}
FILE = click.Path(dir_okay=False, path_type=Path)
SIZES = click.IntRange(min=2)


class Sizes(click.ParamType):
    """Whole numbers with commas between them."""

    name = "n,n,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            sizes = tuple(sorted({int(part) for part in value.split(",")}))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers like 1000,10000.", param, ctx)
        if sizes[0] < 2 or len(sizes) < 2:
            self.fail(f"{value!r} must be two sizes or more, each at least 2.", param, ctx)
        return sizes


def together(*options: Callable) -> Callable:
    """Several options as one decorator."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def measuring(cap: float, repeat: int) -> Callable:
    """The options of every command that measures."""
    return together(
        click.option("--cap", type=click.FloatRange(min=0.01), default=cap, show_default=True,
                     help="Seconds a single solve may take. Who needs more is shown as capped, with the error it left."),
        click.option("--repeat", type=click.IntRange(min=1), default=repeat, show_default=True,
                     help="Timed solves of a row, after a first one that is not counted."),
        click.option("--threads", type=click.IntRange(min=1), default=None,
                     help="Cores and threads, the same for all solvers. Default: all cores."),
        click.option("--json", "json_file", type=FILE, help="Write all rows to this file, each as soon as it is there."),
    )  # fmt: skip


@click.group(invoke_without_command=True, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otlabel", prog_name="otlabel-bench")
@click.pass_context
def main(context: click.Context) -> None:
    """Which transport solver wins on this machine, and how close it is to the machine's limit.

    Without a command: the overview. Every backend of otlabel and every other solver that is installed labels the same
    scores, in three regimes, each in a process of its own with the same number of threads. The certified error is
    computed in float64 from each method's own potentials; who does not reach it has no time.

    \b
    otlabel-bench                                        the overview, less than a minute
    otlabel-bench solve --logits scores.npy --peer all   your own scores
    otlabel-bench scaling --plot                         time and memory against n and k
    otlabel-bench compare before.json after.json         did it get slower?
    otlabel-bench devices                                what there is to run on
    """
    if context.invoked_subcommand is None:
        context.invoke(overview)


@main.command(epilog="Example: otlabel-bench overview --json overview.json --plot overview.png")
@measuring(cap=0.4, repeat=3)
@click.option("--plot", type=FILE, help="Draw every run's seconds into this picture (.png, .svg, .pdf).")
def overview(cap: float, repeat: int, threads: int | None, json_file: Path | None, plot: Path | None) -> None:
    """All backends and all installed peers on small problems of three regimes.

    first: the scores of an untrained network, which say little. broad: hundreds of labels carry a row. peaked: a few
    do. 6,400 items and 200 labels each, to an L1 error of 1e-4 at epsilon 1/25. Repetitions of a row end after half of
    the cap. Larger problems need `otlabel-bench solve`.
    """
    _check_writable(json_file, plot)
    machine.limit_threads(threads)
    rows = _run(suite.overview(cap, repeat), "overview", json_file)
    _show(rows, plot)


@main.command(epilog="Examples: otlabel-bench solve --n 100000 --k 1000 --regime peaked. "
              "otlabel-bench solve --logits scores.npy --peer all --cap 60 --json rows.json --plot rows.png")
@click.option("--n", type=SIZES, default=20_000, show_default=True, help="Items of the made scores.")
@click.option("--k", type=SIZES, default=1000, show_default=True, help="Labels of the made scores.")
@click.option("--regime", type=click.Choice(list(REGIMES)), multiple=True, default=["peaked"], show_default=True,
              help="Kind of the made scores; may be given several times.")
@click.option("--logits", type=FILE, help="Scores of your own: a matrix in an .npy file, or in an .npz as its only array or "
              "as the one called logits. Takes the place of --n, --k, --regime and --seed.")
@click.option("--dtype", type=click.Choice(["float16", "float32", "float64"]),
              help="Storage of the scores. Default: float32, or that of the file.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the made scores.")
@click.option("--epsilon", type=click.FloatRange(min=0, min_open=True), default=1 / 25, show_default=True,
              help="Temperature of the plan, in units of the scores.")
@click.option("--tol", type=click.FloatRange(min=0, min_open=True), default=1e-4, show_default=True,
              help="L1 error of the column sums, the same for all.")
@click.option("--backend", type=click.Choice(["auto", "all", "none", "numba", "numpy", "torch", "cupy"]), multiple=True,
              default=["auto"], show_default=True, help="Of otlabel; may be given several times. auto: the quickest for arrays in memory.")
@click.option("--rounding", type=click.Choice(ROUNDINGS), multiple=True, default=ROUNDINGS, show_default=True,
              help="Of otlabel: largest entry of each row, or exactly balanced sizes.")
@click.option("--peer", type=click.Choice(["all", *PEER_NAMES]), multiple=True,
              help="Other solvers; may be given several times. all: those that are installed.")
@measuring(cap=10.0, repeat=5)
@click.option("--plot", type=FILE, help="Draw every run's seconds into this picture (.png, .svg, .pdf).")
def solve(
    n: int, k: int, regime: Sequence[str], logits: Path | None, dtype: str | None, seed: int, epsilon: float, tol: float,
    backend: Sequence[str], rounding: Sequence[str], peer: Sequence[str], cap: float, repeat: int, threads: int | None,
    json_file: Path | None, plot: Path | None,
) -> None:  # fmt: skip
    """Chosen solvers on chosen scores.

    Plans are compared by the time to an L1 error of --tol, labels by the time to sizes that are exactly balanced. Every
    row is measured in a process of its own. For scores of your own, --peer all tells what else would do on them.
    """
    _check_writable(json_file, plot)
    machine.limit_threads(threads)
    names = suite.own_methods(_backends(backend), rounding) + _peers(peer)
    if not names:
        raise click.UsageError("nothing to measure: --backend none needs a --peer.")
    if logits is None:
        if n < k:
            raise click.UsageError(f"--n must be at least --k, or labels stay empty: got {n} items, {k} labels.")
        sources = [made(each, n, k, dtype or "float32", seed) for each in dict.fromkeys(regime)]
    else:
        try:
            sources = [stored(logits, dtype)]
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    jobs = [job for source in sources for job in suite.solve(source, names, epsilon, tol, cap, repeat)]
    _show(_run(jobs, "solve", json_file), plot)


@main.command(epilog="Example: otlabel-bench scaling --ns 10000,100000,1000000 --ks 100,300,1000 --regime broad --plot broad.png")
@click.option("--ns", type=Sizes(), default=(5000, 10_000, 20_000, 40_000, 80_000), help="Numbers of items, at the middle of --ks.  [default: 5000,10000,20000,40000,80000]")
@click.option("--ks", type=Sizes(), default=(125, 250, 500, 1000, 2000), help="Numbers of labels, at the middle of --ns.  [default: 125,250,500,1000,2000]")
@click.option("--regime", type=click.Choice(list(REGIMES)), default="peaked", show_default=True, help="Kind of the scores.")
@click.option("--dtype", type=click.Choice(["float16", "float32", "float64"]), default="float32", show_default=True, help="Storage of the scores.")
@click.option("--backend", type=click.Choice(["auto", "numba", "numpy", "torch", "cupy"]), default="auto", show_default=True, help="Of otlabel.")
@click.option("--rounding", type=click.Choice(ROUNDINGS), default="balanced", show_default=True, help="Largest entry of each row, or exactly balanced sizes.")
@click.option("--peer", type=click.Choice(list(PEER_NAMES)), help="This solver instead of otlabel.")
@measuring(cap=60.0, repeat=3)
@click.option("--plot", type=FILE, is_flag=False, flag_value=Path("scaling.png"),
              help="Draw the points and the fitted lines, log-log. Without a FILE: scaling.png.")
def scaling(
    ns: tuple[int, ...], ks: tuple[int, ...], regime: str, dtype: str, backend: str, rounding: str, peer: str | None, cap: float,
    repeat: int, threads: int | None, json_file: Path | None, plot: Path | None,
) -> None:  # fmt: skip
    """Time and memory against n and k, with the fitted exponents.

    n grows while k stays at the middle of --ks, then k grows while n stays at the middle of --ns. Exponents are those of
    least squares through the logarithms, with their standard errors.
    """
    from . import scaling as fit
    from . import tables

    _check_writable(json_file, plot)
    machine.limit_threads(threads)
    name = _peers([peer])[0] if peer else suite.own_methods(_backends([backend]), [rounding])[0]
    rows = _run(suite.scaling(regime, ns, ks, dtype, name, cap, repeat), "scaling", json_file)
    out = tables.console()
    tables.print_problems(rows, out)
    slopes = fit.slopes(rows, n=ns[len(ns) // 2], k=ks[len(ks) // 2])
    out.print(fit.table(slopes))
    if plot is not None and slopes:
        from . import plots

        plots.scaling(slopes, plot, f"{name}, {regime} mixture, {dtype}, {rows[0]['threads']} threads")
        out.print(f"\n{plot}")


@main.command(epilog="Example: otlabel-bench compare benchmarks/results/overview.json today.json")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--margin", type=click.FloatRange(min=0), default=0.05, show_default=True,
              help="How much longer every run must take, as a fraction, to be called slower.")
def compare(a: Path, b: Path, margin: float) -> None:
    """Two files of rows: ratios, with a verdict that knows the noise.

    "slower": every run in B took longer than every run in A, by more than the margin; the range shown is from B's
    quickest over A's slowest to B's slowest over A's quickest. Sweeps are counted, not timed, and judged to 1 %.
    Times of different machines are shown and not judged.

    The exit status is 1 if anything got slower, takes more sweeps, or no longer reaches its error, and 2 if a file
    cannot be read.
    """
    from . import compare as comparison
    from . import tables

    try:
        before, after = suite.read_rows(a), suite.read_rows(b)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    lines = comparison.compare(before, after, margin)
    out = tables.console()
    out.print(comparison.table(lines))
    regressions = sum(line.regression for line in lines)
    out.print(f"\n{len(lines)} rows, {regressions} worse")
    sys.exit(1 if regressions else 0)


@main.command()
def devices() -> None:
    """What there is to run on: processor, memory bandwidth, GPUs, backends, other solvers."""
    from . import tables

    machine.limit_threads(None)
    tables.console().print(tables.devices(machine.about(), machine.bandwidth()))


def _backends(chosen: Sequence[str]) -> list[str]:
    from .. import backends

    names: list[str] = []
    for name in chosen:
        if name == "all":
            names += usable()
        elif name == "auto":
            names.append(usable()[0])
        elif name != "none":
            try:
                backends.load(name)
            except ImportError as error:
                raise click.UsageError(str(error)) from None
            if name not in usable():
                raise click.UsageError(f"backend {name!r} is installed, but there is no device for it here.")
            names.append(name)
    return list(dict.fromkeys(names))


def _peers(chosen: Sequence[str]) -> list[str]:
    names: list[str] = []
    for choice in chosen:
        if choice == "all":
            names += [peer.name for peer in PEERS if machine.installed(peer.package)]
            continue
        peer = PEER_NAMES[choice]
        if not machine.installed(peer.package):
            raise click.UsageError(f"--peer {choice} needs {peer.install}, which is not installed: pip install {peer.install}")
        names.append(peer.name)
    return list(dict.fromkeys(names))


def _check_writable(*files: Path | None) -> None:
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise click.UsageError(f"{file} cannot be written: there is no folder {file.absolute().parent}.")


def _run(jobs: Sequence[Job], command: str, json_file: Path | None) -> list[Row]:
    """All rows, with a progress bar where someone looks."""
    layout = SpinnerColumn(), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    from . import tables

    out = tables.console()
    facts = machine.about()
    out.print(tables.headline(facts, machine.bandwidth()), markup=False)
    with Progress(*layout, console=out, transient=True) as bar:
        task = bar.add_task("starting", total=len(jobs))

        def tell(job: Job, number: int) -> None:
            bar.update(task, completed=number, description=f"{job.source.name}: {job.method}")

        try:
            return suite.run(jobs, command, facts, json_file, tell)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None


def _show(rows: Sequence[Row], plot: Path | None) -> None:
    from . import tables

    out = tables.console()
    tables.print_problems(rows, out)
    out.print(tables.LEGEND, style="dim", markup=False)
    if suite.missing():
        out.print(f"not installed: {', '.join(suite.missing())} (pip install 'otlabel[peers]')", style="dim", markup=False)
    if plot is not None:
        from . import plots

        plots.times(rows, plot)
        out.print(str(plot), markup=False)


if __name__ == "__main__":
    main()
