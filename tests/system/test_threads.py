"""Work in threads: order, errors, and what is begun before it is asked for."""

from __future__ import annotations

import time

import pytest

from otlabel._system.threads import ahead, threaded


def test_results_are_in_order_and_the_first_error_in_that_order_is_raised():
    assert threaded(lambda item: 2 * item, range(40)) == list(range(0, 80, 2))
    assert threaded(lambda item: item, []) == []
    with pytest.raises(ZeroDivisionError):
        threaded(lambda item: 1 // item, [3, 2, 1, 0])


def test_reading_ahead_keeps_the_order_and_passes_errors_on():
    began = []

    def work(item):
        began.append(item)
        return 10 // item

    assert list(ahead(work, [5, 2, 1])) == [2, 5, 10]
    reader = ahead(work, [2, 0, 1])
    began.clear()
    assert next(reader) == 5
    while began != [2, 0]:  # the second is begun before it is asked for
        time.sleep(0.001)
    with pytest.raises(ZeroDivisionError):
        next(reader)
