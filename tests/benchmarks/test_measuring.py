"""What runs in a process of its own comes back, with its memory or with what went wrong."""

import operator
import os
from concurrent.futures.process import BrokenProcessPool

import pytest
from measuring import in_own_process


def test_the_value_and_the_memory_that_it_took():
    value, megabytes = in_own_process(operator.mul, b"x", 100_000_000)
    assert len(value) == 100_000_000 and 80 < megabytes < 800


def test_an_error_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        in_own_process(operator.truediv, 1, 0)


def test_a_process_that_is_killed_is_not_waited_for():
    with pytest.raises(BrokenProcessPool):
        in_own_process(os._exit, 9)
