"""Every number that steers the solver and the rounding, in one place, with its meaning and where it comes from.

None changes what is certified: a bad choice costs sweeps or time, never correctness. "Count" is benchmarks/tuning.py,
which counts sweeps with half and with double of each; its table is in docs/performance.md. What has no origin said is a
guard or a bound: half and double of it change the sweeps of those problems by less than 2 %. Not here: halves, what
follows from float64 itself, and how many looks a step needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tuning:
    """Lengths are in nats of S/epsilon + g; errors are L1 errors of the column sums. Halves are not listed."""

    # Lists: how much of the scores the steps between two surveys see.
    listed: int = 16
    """Entries of a row that surveys list, about. 1,281,167 x 3,000 took 11.8 s with 20, 21.7 with 12, 15.2 with 50."""
    listed_again: int = 3
    """The same for lists that are taken from lists. Without such 320,000 x 3,000 takes 3.2 times as long (peaked)."""
    small: int = 1 << 15
    """n*k up to which the lists may be as deep as ``widest``: evaluations cost little there but Python's time."""
    margin: float = 6.0
    """g may move by the width of the lists less this: what is not listed weighs exp(-6) of a row's best or less. Count:
    9 % more sweeps with 12."""
    widest: float = 500.0
    """Most that lists are deep, and least that a column is below its share to count as empty: float64's exponents
    end at 700."""
    sampled_rows: int = 128
    """Rows that tell how wide lists must be, and how much memory they take."""

    # The loop of surveys.
    enough: float = 0.3
    """Of an error: what may be left of it where looking again is better than going on. Of tol for the steps between
    surveys; of the error at the edge of a box for what is inside; of the error before for a survey of crowded rows."""
    deepest_goal: float = 1e-4
    """Of the first error: steps do not aim lower, the lists know no better. 1e-3 costs a survey more on real logits."""
    coarse: float = 0.1
    """Of the first error: there, steps are short, and lists are taken from lists."""
    rough: float = 1e-4
    """Error that float32 knows well enough; smaller ones are measured in float64."""
    close: float = 1e-2
    """Error below which Newton's steps are tried, and surveys made in float64 at once."""
    burst: int = 3
    """Full sweeps of L-BFGS where many labels carry each row: real epoch 1 takes 24 sweeps instead of 67."""
    coarsest_tol: float = 1e-3
    """Lists are as deep as for this tol where tol is larger."""
    retreat: float = 0.25
    """Of the step that led nowhere: the most that the next may take."""
    patience: int = 6
    """Surveys without a higher F or a lower error, after which the solve is at a plateau."""
    sinkhorn_patience: int = 50
    """The same for ``method="sinkhorn"``, which is slow."""
    most_sinkhorn: int = 8
    """Sinkhorn steps at most before others: on all scores while a column is further from its share than lists are
    deep, and on lists while one is further than ``far``."""
    far: float = 1.0
    """Distance of a column from its share at which Sinkhorn's step is the better one."""
    blur: float = 1e-3
    """float64's own rounding of the scores beyond which only Sinkhorn steps are worth their while."""
    floor: float = 1e-15
    """Error below which float64's sums tell nothing."""

    # Dense sweeps.
    dense_budget: int = 28
    """Sweeps that must be allowed for dense ones to be begun with."""
    unsettled: float = 0.3
    """Error of the start beyond which quantile steps come first. Count: 31 % more sweeps with 0.6."""
    looked_at: int = 40
    """Rows a label whose error says that it is beyond that, if chance does not make up the rest, ..."""
    quantile_steps: int = 5
    """Most quantile steps. Real epoch 1 takes 70 sweeps with none, 37 and 30 after 2 and 4, which cost two each."""
    whole_steps: int = 2
    """The last of them look at all rows (count: 20 % more sweeps with 1), ..."""
    sampled_items: int = 10
    """... those before at so many items a label, ..."""
    sampled_least: int = 3
    """... if that is one row of so many or fewer. The first look has the same least."""
    settled: float = 0.15
    """Share of the rows in the wrong place (twice) after which no more come: the plan is not that sharp."""
    measured: float = 0.03
    """Error at which L-BFGS takes up the curvature that columns really have, and again at a tenth of it. Mixtures of
    20,000 x 512 take 13, 14 and 26 sweeps instead of 27, 28 and 30, real epoch 1 36 instead of 39."""
    flattest: float = 0.01
    """Least of a column's curvature that L-BFGS believes, as a part of its share."""
    dense_goal: float = 0.8
    """Of tol: the error that a dense climb goes down to. Float64 finds the same as float32 to a hundredth of that."""
    float32_part: float = 0.01
    """Of the bound on float32's error: the column sums' own, since errors of many rows cancel. No climb goes lower."""
    float32_noise: float = 2e-8
    """``noise`` of float32's sums over many rows."""
    certificates: int = 3
    """Climbs in float32 at most, each followed by a look in float64, before float64 takes all further steps."""

    # What the engines are predicted to cost, in dense sweeps: benchmarks/engines.py.
    climb_steps: float = 4.5
    """Sweeps of a dense climb, about, to an error of 1, and for every digit below it."""
    list_surveys: int = 4
    """Surveys of a climb on lists, about, ..."""
    list_steps: int = 20
    """... and evaluations of lists."""
    survey_cost: float = 2.0
    """A survey, but for its lists."""
    entry_cost: float = 34.0
    """A listed entry, of a survey or of a step, against one of a dense sweep."""
    step_cost: float = 1e6
    """Scores that dense sweeps look at while Python takes a step."""
    compiled: int = 1 << 20
    """n*k up to which a dense climb is one compiled call."""

    # Steps on the lists.
    memory: int = 20
    """Pairs of L-BFGS: more need no fewer evaluations, but for a ``fine`` tol, and on a GPU cost as much as those."""
    fine_memory: int = 80
    """The same where tol is fine: long ways to the last digits take a third more sweeps with half as many."""
    fine: float = 1e-6
    """Below this tol is."""
    stride: float = 10.0
    """A trial step may be so many times the longest so far: where the plan is saturated, differences are noise."""
    backtracks: int = 12
    """Trials along a direction."""
    rise: float = 1e-4
    """Of what the slope promises: the least rise of F that a step must bring (Armijo; the textbooks' value)."""
    flattened: float = 0.8
    """Of the slope: where differences of F are noise, a step may end on a slope that far down (Hager and Zhang)."""
    shortest_cut: float = 0.1
    """Of a step that went too far: the least that the next trial is, and ..."""
    longest_cut: float = 0.7
    """... the most, whatever the secant of the slopes says."""
    gain: float = 0.1
    """Of the lowest error: a step that does not lower it by so much counts towards ``step_patience``."""
    step_patience: int = 30
    """Such steps in a row, after which a climb ends."""
    collinear: float = 1e-14
    """Cosine between a step and the change of the gradient of which L-BFGS learns nothing: that is rounding."""
    damping: float = 1e-9
    """Of the Hessian's diagonal: labels that share hardly an item make it singular to rounding."""
    too_flat: float = 1e-4
    """Of its share: a column's least curvature for Newton's steps, since Hessians leave out entries that small."""
    noise: float = 1e-13
    """Relative rounding error of F, and of S/epsilon + g: smaller differences say nothing."""
    barely_listed: float = 1e-12
    """Share of a column of which the lists know less: it changes as its own potential does."""

    # Ratios of costs on the machine this was developed on: benchmarks/cost_ratios.py.
    pairs_an_entry: float = 8.0
    """Pairs of listed entries that a Hessian adds up in the time of evaluating one entry."""
    cubes_an_entry: float = 325.0
    """k**3 of a Cholesky factor that take as long."""

    # Memory.
    largest_square: int = 4096
    """Labels up to which k x k matrices are worth their memory: Hessians, 8 bytes a pair, and cheapest ways, 16."""

    # Rounding.
    whole_matrix: int = 1 << 18
    """n*k up to which the shortlist is the whole matrix, 36 bytes an entry."""
    ties: int = 8
    """Labels of a row on the first shortlist of a larger problem, about, ..."""
    nearest_tie: float = 0.001
    """... which is no narrower than this ..."""
    near_tie: float = 2.0
    """... and no wider. Where it proves too narrow the next has ..."""
    near_ties_of_many: float = 4.0
    """So many times as wide is the first where many rows are the same: potentials are far from where they must be."""
    more_ties: int = 8
    """... so many times as many labels, or is four times as wide."""
    widest_tie: float = 1e4
    """A shortlist this wide that is still too narrow gives way to the whole matrix."""
    few_items: int = 100
    """Items: as many that found no way on a shortlist are moved by a search of the whole matrix."""
    surplus: float = 0.01
    """Of the items: more than this is moved by sweeps at a lower temperature first. With 0.02 rounding of 150,000 x 400
    normal numbers took 5.0 s, with 0.005 0.8."""
    told_apart: int = 200
    """Rows that say how far it takes to be lower for rows to differ."""
    few_kinds: float = 0.1
    """Of those: as many different rows are few."""
    halvings: int = 2
    """epsilon is halved so many times, or a multiple of it, for them, ..."""
    most_colder: int = 10
    """... so many times at most."""
    colder_goal: float = 0.125
    """Of the surplus as a share of the items: the error that such a solve goes down to."""
    colder_sweeps: int = 30
    """Of each such solve at most."""
    colder_worth: float = 0.7
    """Of the surplus: a colder solve that leaves more was of no use; ..."""
    most_idle: int = 1
    """... of those that converge so many in a row are borne."""
    weighted_least: int = 4000
    """Entries that a linear program begins with at least, where items do not weigh the same, ..."""
    weighted_ties: int = 30
    """... or k times this; lists are no wider than to have as many beside the rows' best."""
    rounds: int = 40
    """Shortlists at most: the guard of a loop that ends by itself."""

    @property
    def narrowest(self) -> float:
        """Least depth of lists: room for the margin, and as much to go."""
        return 2 * self.margin

    @property
    def crowded(self) -> float:
        """Where ``listed`` entries are less deep, many labels carry each row: lists are of little use far away."""
        return 3 * self.margin

    def sample_of(self, n: int) -> np.ndarray:
        """Some of n rows, spread evenly."""
        return np.unique(np.linspace(0, n - 1, self.sampled_rows).astype(int))

    def depth_of(self, depth: np.ndarray, size: int) -> float:
        """The width at which about ``listed`` entries of a row are listed.

        Args:
            depth: (r, m) nats below the best, of some rows.
            size: n*k.
        """
        return self.width(depth, self.listed) if size > self.small else self.widest

    def width(self, depth: np.ndarray, listed: int) -> float:
        """The same for another number of entries, where n*k is not small."""
        place = int(min(1.0, listed / depth.shape[1]) * (depth.size - 1))  # np.quantile, "lower", in half the time
        return float(np.clip(np.partition(depth, place, axis=None)[place], self.narrowest, self.widest))

    def pairs(self, tol: float) -> int:
        """Of L-BFGS that are kept."""
        return self.memory if tol >= self.fine else self.fine_memory

    def near(self, tol: float) -> float:
        """The depth of lists for a g whose error is small: what lies beyond it weighs little beside tol."""
        return self.narrowest + 0.5 * float(np.log(1 / min(tol, self.coarsest_tol)))


DEFAULT = Tuning()
_in_use: ContextVar[Tuning] = ContextVar("tuning", default=DEFAULT)


@contextmanager
def tuned(tuning: Tuning) -> Iterator[None]:
    """Inside, ``otlabel.assign`` works with other numbers: for measurements of what they do, and tests."""
    token = _in_use.set(tuning)
    try:
        yield
    finally:
        _in_use.reset(token)


def tuning_in_use() -> Tuning:
    """The numbers that ``otlabel.assign`` works with here."""
    return _in_use.get()
