"""The command ``otlabel-bench``: what it can be told. What it then does is in suite.py, what it shows in tables.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .. import backends
from . import compare as comparison
from . import machine, suite, tables
from . import scaling as fit
from .options import DTYPE, FILE, PAGE, POSITIVE, SIZE, Measuring, Sizes, measuring, option
from .own import ROUNDINGS, usable
from .peers import PEERS
from .problems import REGIMES, made, stored
from .problems import read as read_matrix
from .process import Job, Row

BACKENDS = [backend.name for backend in backends.registered()]
PEER_NAMES = {re.sub("[^a-z0-9]+", "-", peer.name.lower()): peer for peer in PEERS}
PEER_LIST = "\n".join(("\b", "Peers:", *(f"  {name:20} {peer.about}" for name, peer in PEER_NAMES.items())))


@click.group(
    invoke_without_command=True,
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
)
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
    otlabel-bench cluster                                clusters of equal sizes, and those that are not
    otlabel-bench devices                                what there is to run on
    """
    if context.invoked_subcommand is None:
        context.invoke(overview)


@main.command(epilog="Example: otlabel-bench overview --json overview.json --plot overview.png")
@measuring(cap=0.3, repeat=3, rounds=1)
def overview(how: Measuring) -> None:
    """All backends and all installed peers on small problems.

    Three regimes of 5,120 items and 160 labels, to an L1 error of 1e-4 at epsilon 1/25. first: the scores of an
    untrained network, which say little. broad: hundreds of labels carry a row. peaked: a few do. The quickest also get
    broad scores half of whose rows are the same, and some made of features, which otlabel is given, and the others the
    product. Repetitions of a row end after half of the cap. For larger problems, and more careful times, there is
    `otlabel-bench solve`.
    """
    _show(_run(suite.overview(how.cap, how.repeat), how, "overview"), how)


@main.command(
    epilog=f"{PEER_LIST}\n\n\b\nExamples:\n  otlabel-bench solve --n 100000 --k 1000 --regime broad\n"
    "  otlabel-bench solve --logits scores.npy --peer all --cap 60 --json rows.json --plot rows.png"
)
@option("--n", type=SIZE, default=20_000, help="Items of the made scores.")
@option("--k", type=SIZE, default=1000, help="Labels of the made scores.")
@option("--regime", type=click.Choice(list(REGIMES)), multiple=True, default=["peaked"], help="Of the made scores.")
@option("--seed", type=int, default=0, help="Of the made scores.")
@option(
    "--logits",
    type=FILE,
    help="Scores of your own, in the place of made ones: a matrix in an .npy file, or in an "
    ".npz as its only array or as the one called logits.",
)
@option("--dtype", type=DTYPE, help="Storage of the scores.  [default: float32, or that of the file]")
@option("--epsilon", type=POSITIVE, default=1 / 25, help="Temperature of the plan, in units of the scores.")
@option("--tol", type=POSITIVE, default=1e-4, help="L1 error of the column sums, the same for all.")
@option(
    "--backend",
    type=click.Choice(["auto", "all", "none", *BACKENDS]),
    multiple=True,
    default=["auto"],
    help="Of otlabel. auto: the quickest for arrays in memory.",
)
@option(
    "--rounding",
    type=click.Choice(ROUNDINGS),
    multiple=True,
    default=ROUNDINGS,
    help="Of otlabel: the largest entry of each row, or exactly balanced sizes.",
)
@option(
    "--peer",
    type=click.Choice(["all", *PEER_NAMES]),
    multiple=True,
    metavar="NAME",
    help="Another solver, of those below, or all: those that are installed.",
)
@measuring(cap=10.0, repeat=1, rounds=5)
def solve(
    how: Measuring, n: int, k: int, regime: Sequence[str], seed: int, logits: Path | None, dtype: str | None,
    epsilon: float, tol: float, backend: Sequence[str], rounding: Sequence[str], peer: Sequence[str],
) -> None:  # fmt: skip
    """Chosen solvers on chosen scores.

    Plans are compared by the time to an L1 error of --tol, labels by the time to sizes that are exactly balanced.
    --regime, --backend, --rounding and --peer may be given several times.
    """
    names = suite.own_methods(_backends(backend), rounding) + _peers(peer)
    if not names:
        raise click.UsageError("nothing to measure: --backend none needs a --peer.")
    if logits is None and n < k:
        raise click.UsageError(f"--n must be at least --k, or labels stay empty: got {n} items, {k} labels.")
    try:
        sources = (
            [made(each, n, k, dtype or "float32", seed) for each in dict.fromkeys(regime)]
            if logits is None
            else [stored(logits, dtype)]
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    jobs = [job for source in sources for job in suite.solve(source, names, epsilon, tol, how.cap, how.repeat)]
    _show(_run(jobs, how, "solve"), how)


@main.command(
    epilog=f"{PEER_LIST}\n\n\b\nExample:\n"
    "  otlabel-bench scaling --ns 10000,100000,1000000 --ks 100,300,1000 --regime broad --plot broad.png"
)
@option("--ns", type=Sizes(), default=(10_000, 20_000, 40_000, 80_000, 160_000), help="Items, at the middle of --ks.")
@option("--ks", type=Sizes(), default=(250, 500, 1000, 2000, 4000), help="Labels, at the middle of --ns.")
@option("--regime", type=click.Choice(list(REGIMES)), default="peaked", help="Kind of the scores.")
@option("--dtype", type=DTYPE, default="float32", help="Storage of the scores.")
@option("--backend", type=click.Choice(["auto", *BACKENDS]), default="auto", help="Of otlabel.")
@option("--rounding", type=click.Choice(ROUNDINGS), default="balanced", help="Of otlabel.")
@option("--peer", type=click.Choice(list(PEER_NAMES)), metavar="NAME", help="This solver instead of otlabel.")
@measuring(cap=60.0, repeat=1, rounds=3, plot="scaling.png")
def scaling(
    how: Measuring, ns: tuple[int, ...], ks: tuple[int, ...], regime: str, dtype: str, backend: str, rounding: str,
    peer: str | None,
) -> None:  # fmt: skip
    """Time and memory against n and k, with the fitted exponents.

    n grows while k stays at the middle of --ks, then k grows while n stays at the middle of --ns. Exponents are those
    of least squares through the logarithms, with their standard errors.
    """
    if min(ns) < suite.middle(ks) or suite.middle(ns) < max(ks):
        raise click.UsageError(
            "labels would stay empty: the least of --ns must not be below the middle of --ks, nor the "
            "middle of --ns below the largest of --ks."
        )
    name = _peers([peer])[0] if peer else suite.own_methods(_backends([backend]), [rounding])[0]
    rows = _run(suite.scaling(regime, ns, ks, dtype, name, how.cap, how.repeat), how, "scaling")
    out = tables.console()
    tables.print_problems(rows, out)
    slopes = fit.slopes(rows, n=suite.middle(ns), k=suite.middle(ks))
    out.print(fit.table(slopes))
    if how.plot is not None:
        from . import plots  # matplotlib takes half a second

        plots.scaling(slopes, how.plot, f"{name}, {regime} mixture, {dtype}, {rows[0]['threads']} threads")
        out.print(f"\n{how.plot}", markup=False)


@main.command(epilog="Example: otlabel-bench cluster --data embeddings.npy --k 1000 --cap 600")
@option("--data", type=FILE, help="Points of your own: a matrix in an .npy or .npz file, in the place of made ones.")
@option("--n", type=SIZE, default=10_000, help="Made points: clouds, the largest ten times the average.")
@option("--d", type=SIZE, default=32, help="Their dimensions.")
@option("--k", type=SIZE, default=100, help="Clusters.")
@option("--seeds", type=click.IntRange(1), default=1, help="Fits of each method; means are shown.")
@option("--cap", type=POSITIVE, default=60.0, help="Seconds a fit may take.")
@option("--threads", type=click.IntRange(1), help="Cores and threads, equal for all.  [default: all cores]")
@option("--json", "json_file", type=FILE, help="Write the rows to this file.")
def cluster(
    data: Path | None, n: int, d: int, k: int, seeds: int, cap: float, threads: int | None, json_file: Path | None
) -> None:
    """k-means with and without sizes: otlabel, k-means-constrained, scikit-learn, faiss.

    Inertia beside that of scikit-learn's KMeans, sizes, and what clusters are worth as the lists of an inverted file:
    of the ten nearest neighbours of points that were held out, those found where 1 and 5 % of the points are scanned.
    """
    from . import clusters  # scikit-learn takes a second

    machine.limit_threads(threads)
    try:
        points = clusters.clouds(n, d, k, 0) if data is None else read_matrix(data)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if len(points) < 10 * k:
        raise click.UsageError(f"--k must leave ten points a cluster, got {len(points)} points for {k}.")
    out = tables.console()
    out.print(tables.headline({"command": "cluster"} | machine.about(), machine.bandwidth()), markup=False)
    with out.status("starting") as status:
        name = "clouds" if data is None else data.name
        rows = clusters.run(name, points, k, seeds, cap, lambda method: status.update(method))
    out.print(clusters.table(rows))
    if json_file is not None:
        suite.write(json_file, [row | machine.about() for row in rows])


@main.command(epilog="Example: otlabel-bench compare yesterday.json today.json")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@option("--margin", type=click.FloatRange(0), default=0.05, help="How much longer, as a fraction, is worth a word.")
def compare(a: Path, b: Path, margin: float) -> None:
    """Two files of rows: ratios, with a verdict that knows the noise.

    "slower": every run in B took longer than every run in A by more than the margin, and the medians differ by more
    than three times the scatter of the peers' own ratios. Peers of the same version have not changed: where there are
    three or more, their median ratio is the machine's, and is divided out first. The range shown is from B's quickest
    over A's slowest to B's slowest over A's quickest. Rows of fewer than three --rounds are not judged, the overview's
    for example: a process can be slow from its start to its end. Sweeps are counted, not timed, and judged to 1 %.
    Times of different machines, or under another cap, are shown and not judged.

    The exit status is 1 if otlabel got slower, takes more sweeps, or no longer reaches its error; 2 if a file cannot
    be read.
    """
    try:
        before, after = suite.read_rows(a), suite.read_rows(b)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    lines, state = comparison.compare(before, after, margin)
    out = tables.console()
    out.print(comparison.table(lines))
    out.print(f"\n{comparison.summary(lines, state)}")
    sys.exit(1 if any(line.regression for line in lines) else 0)


@main.command()
def devices() -> None:
    """What there is to run on: processor, memory bandwidth, GPUs, backends, other solvers."""
    machine.limit_threads(None)
    tables.console().print(tables.devices(machine.about(), machine.bandwidth()))


def _backends(chosen: Sequence[str]) -> list[str]:
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
            raise click.UsageError(f"--peer {choice} needs {peer.install}, not installed: pip install {peer.install}")
        names.append(peer.name)
    return list(dict.fromkeys(names))


def _run(jobs: Sequence[Job], how: Measuring, command: str) -> list[Row]:
    """All rows, with a progress bar where someone looks."""
    out = tables.console()
    facts = {"command": command} | machine.about()
    out.print(tables.headline(facts, machine.bandwidth()), markup=False)
    layout = SpinnerColumn(), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*layout, console=out, transient=True) as bar:
        task = bar.add_task("starting", total=len(jobs) * how.rounds)

        def tell(job: Job, number: int) -> None:
            bar.update(task, completed=number, description=f"{job.source.name}: {job.method}")

        try:
            return suite.run(jobs, how.rounds, facts, how.json_file, tell)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None


def _show(rows: Sequence[Row], how: Measuring) -> None:
    out = tables.console()
    tables.print_problems(rows, out)
    out.print(tables.LEGEND, style="dim", markup=False)
    if suite.missing():
        out.print(f"not installed: pip install {' '.join(suite.missing())}", style="dim", markup=False)
    if how.plot is not None:
        from . import plots  # matplotlib takes half a second

        (plots.page if how.plot.suffix == PAGE else plots.times)(rows, how.plot)
        out.print(str(how.plot), markup=False)
