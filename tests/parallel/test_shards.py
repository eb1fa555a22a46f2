"""One solve over several processes, which are threads here; tests/torch has real ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import otlabel
from otlabel._parallel.shards import Shards


class Meeting:
    """The ``Comm`` of each of some threads."""

    def __init__(self, size):
        self.size, self.brought, self.barrier = size, [None] * size, threading.Barrier(size, timeout=60)

    def comm(self, rank):
        meeting = self

        class Comm:
            size = meeting.size

            def all_reduce(self, array):
                meeting.brought[rank] = np.array(array)
                meeting.barrier.wait()
                total = np.sum(meeting.brought, axis=0)
                meeting.barrier.wait()
                return total

        comm = Comm()
        comm.rank = rank
        return comm

    def run(self, work):
        """work(comm) of each."""
        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(work, map(self.comm, range(self.size))))


def test_arrays_are_put_together_in_order():
    def work(comm):
        shards = Shards(comm)
        return shards.gather(np.full(comm.rank, comm.rank)), shards.stack(np.array([comm.rank, 7]))

    for gathered, stacked in Meeting(3).run(work):
        assert gathered.tolist() == [1, 2, 2]
        assert stacked.tolist() == [[0, 7], [1, 7], [2, 7]]


def test_what_one_raises_all_raise():
    def work(comm):
        def fail():
            if comm.rank == 1:
                raise OSError("no such luck")

        with pytest.raises(OSError, match="process 1 of 3: no such luck"):
            Shards(comm).together(fail)
        return Shards(comm).together(lambda: comm.rank)  # and the next work goes well

    assert Meeting(3).run(work) == [0, 1, 2]


@pytest.mark.parametrize("columns_underflow", [False, True])
def test_rows_in_several_places_are_labelled_as_in_one(rng, columns_underflow):
    scores = rng.normal(size=(300, 8))
    b = np.full(8, 1 / 8)
    init = np.zeros(8)
    if columns_underflow:
        init[2] = -60.0  # its first column sum is far below what float64 sums up
    settings = dict(epsilon=0.5, tol=1e-9, b=b, init=init)
    truth = otlabel.assign(scores, **settings)
    cuts = [slice(0, 50), slice(50, 60), slice(60, 300)]
    found = Meeting(3).run(lambda comm: otlabel.assign(scores[cuts[comm.rank]], comm=comm, **settings))
    np.testing.assert_array_equal(np.concatenate([result.labels for result in found]), truth.labels)
    for result in found:
        np.testing.assert_allclose(result.potentials, truth.potentials, atol=1e-7)
        assert result.error <= 1e-9
        assert result.sizes.tolist() == truth.sizes.tolist()


def test_shards_keep_to_the_bounds_together(rng):
    scores = rng.normal(size=(301, 7)) + rng.normal(size=7)
    bounds = dict(size_min=30, size_max=60, epsilon=0.3)
    truth, cuts = otlabel.assign(scores, **bounds), [slice(0, 100), slice(100, 301)]
    found = Meeting(2).run(lambda comm: otlabel.assign(scores[cuts[comm.rank]], comm=comm, **bounds))
    np.testing.assert_array_equal(np.concatenate([result.labels for result in found]), truth.labels)
    with pytest.raises(ValueError, match="but size_min or size_max of process 1 is another"):
        Meeting(2).run(lambda comm: otlabel.assign(scores, size_min=20 + comm.rank, comm=comm))


def test_shards_know_each_other_s_known_labels_and_leave_the_unsure_out_together(rng):
    scores = rng.normal(size=(300, 6))
    known = np.where(rng.random(300) < 0.3, np.arange(300) % 6, -1)
    cuts, options = [slice(0, 100), slice(100, 300)], dict(coverage=0.7, epsilon=0.4)
    truth = otlabel.assign(scores, known=known, **options)
    found = Meeting(2).run(
        lambda comm: otlabel.assign(scores[cuts[comm.rank]], known=known[cuts[comm.rank]], comm=comm, **options)
    )
    np.testing.assert_array_equal(np.concatenate([result.labels for result in found]), truth.labels)
    for result in found:
        np.testing.assert_array_equal(result.sizes, truth.sizes)
    with pytest.raises(ValueError, match="whether known is given of process 1 is another"):
        Meeting(2).run(lambda comm: otlabel.assign(scores, known=None if comm.rank else known, comm=comm))


def test_shards_weigh_their_items_together(rng):
    scores, a = rng.normal(size=(200, 5)), rng.dirichlet(np.full(200, 2.0))
    cuts, truth = [slice(0, 90), slice(90, 200)], otlabel.assign(scores, a=a)
    found = Meeting(2).run(lambda comm: otlabel.assign(scores[cuts[comm.rank]], a=a[cuts[comm.rank]], comm=comm))
    np.testing.assert_array_equal(np.concatenate([result.labels for result in found]), truth.labels)
