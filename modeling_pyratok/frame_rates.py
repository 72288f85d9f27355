"""One rate for frames that have times of their own, as a token file keeps it."""

from fractions import Fraction

FINEST_TIME = 1_000_000
"""Times are taken in units of a microsecond: finer than the containers', coarser than the rounding of floats."""


class FrameRate:
    """The rate of frames whose times come one by one.

    Args:
        stated: frames per second as the header has it.
    """

    def __init__(self, stated: Fraction) -> None:
        self._stated = stated
        self._first = self._last = 0.0
        self._count = 0
        self.is_kept = True
        """Whether every frame so far came where `stated` puts it, to half a frame (containers round their times)."""

    def add(self, seconds: float) -> None:
        """The time of the next frame."""
        if not self._count:
            self._first = seconds
        expected = self._first + float(self._count / self._stated)
        self.is_kept = self.is_kept and abs(seconds - expected) <= float(1 / (2 * self._stated))
        self._last = seconds
        self._count += 1

    @property
    def average(self) -> Fraction:
        """Frames per second: exactly the stated rate if it is kept, else intervals by the time that they took."""
        span = Fraction(self._last - self._first).limit_denominator(FINEST_TIME)
        return self._stated if self.is_kept or not span else (self._count - 1) / span
