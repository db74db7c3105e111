"""What items are ranked by."""

from typing import Literal

Score = Literal["lm", "catalog"]
"""`lm` is the log-probability in the whole vocabulary, `catalog` among the live children only."""
