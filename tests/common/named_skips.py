"""Holds a borrowed test suite to a table of skips: a skip that is not named there fails, and so does a stale name."""

import contextlib
import unittest
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import wraps


@dataclass(frozen=True)
class NamedSkips:
    """Why tests of a borrowed suite do not run; keys are test names or patterns of them (`test_flash_*`).

    Args:
        not_applicable: tests that are not run, because what they presume does not hold here.
        by_themselves: tests that find nothing to test and skip themselves; one that does run is a failure, so that
            the table stays true.
        by_machine: tests that need hardware or libraries: they skip where these are missing and run elsewhere.
    """

    not_applicable: dict[str, str] = field(default_factory=dict)
    by_themselves: dict[str, str] = field(default_factory=dict)
    by_machine: dict[str, str] = field(default_factory=dict)

    def hold(self, case: type[unittest.TestCase]) -> type[unittest.TestCase]:
        """A class decorator that wraps every test of `case`. Raises ValueError for a name that matches no test."""
        names = [name for name in dir(case) if name.startswith("test_") and callable(getattr(case, name))]
        for pattern in [*self.not_applicable, *self.by_themselves, *self.by_machine]:
            if not any(fnmatch(name, pattern) for name in names):
                raise ValueError(
                    f"the table of skips names {pattern!r}, but {case.__name__} has no such test: remove it"
                )
        for name in names:
            setattr(case, name, self._wrap(name, getattr(case, name)))
        # A skip or a failure inside `with self.subTest()` has to reach the wrapper.
        case.subTest = lambda self, *args, **kwargs: contextlib.nullcontext()
        return case

    def _wrap(self, name: str, test: Callable[..., None]) -> Callable[..., None]:
        never = _reason(self.not_applicable, name)
        always = _reason(self.by_themselves, name)
        sometimes = _reason(self.by_machine, name)

        @wraps(test)
        def wrapped(self: unittest.TestCase, *args, **kwargs) -> None:
            if never:
                self.skipTest(never)
            try:
                if getattr(test, "__unittest_skip__", False):
                    raise unittest.SkipTest(test.__unittest_skip_why__)
                test(self, *args, **kwargs)
            except unittest.SkipTest as skip:
                if not (always or sometimes):
                    self.fail(f"{name} was skipped ({skip}) and the table of skips does not name it")
                raise unittest.SkipTest(always or sometimes) from skip
            if always:
                self.fail(f"{name} is in the table of skips as having nothing to test, but it ran: remove it there")

        # The wrapper decides, not the mark that a decorator such as `require_torch_gpu` has left.
        wrapped.__unittest_skip__ = False
        return wrapped


def _reason(table: dict[str, str], name: str) -> str | None:
    return next((reason for pattern, reason in table.items() if fnmatch(name, pattern)), None)
