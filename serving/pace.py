"""How long batches take, learnt from those that ran."""

MEMORY = 0.9
"""What a batch counts for once another has run."""


class Pace:
    """A line through sizes and seconds of the last batches, by weighted least squares.

    A model that reads a batch side by side takes about the same time for every size, one that reads
    it one by one takes its time for each request; most are in between.
    """

    def __init__(self) -> None:
        self._weight = self._sizes = self._squares = self._seconds = self._products = 0.0

    def observe(self, size: int, seconds: float) -> None:
        """Learn from a batch."""
        self._weight = MEMORY * self._weight + 1
        self._sizes = MEMORY * self._sizes + size
        self._squares = MEMORY * self._squares + size * size
        self._seconds = MEMORY * self._seconds + seconds
        self._products = MEMORY * self._products + size * seconds

    def expect(self, size: int) -> float:
        """Seconds of one batch; 0 before the first one ran.

        As long as all batches had one size, any other is taken to need as long: one that is too
        large then teaches better, while none would be tried if it were thought to need more.
        """
        if not self._weight:
            return 0.0
        spread = self._weight * self._squares - self._sizes**2
        if spread < 1e-6 * self._squares:
            return self._seconds / self._weight
        each = (self._weight * self._products - self._sizes * self._seconds) / spread
        each = min(max(0.0, each), self._seconds / self._sizes)  # neither part takes less than none
        return (self._seconds - each * self._sizes) / self._weight + each * size
