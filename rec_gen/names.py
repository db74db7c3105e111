"""The names of one catalog, made ready for whoever hears or reads them."""

from threading import Lock
from typing import TYPE_CHECKING

from rec_gen.catalog import Catalog

if TYPE_CHECKING:
    from rec_gen.listener import Listener
    from rec_gen.titles import Titles


class Names:
    """What hears and finds the names of a catalog, made once for all threads, when it is needed.

    Args:
        catalog: The items.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._making = catalog, Lock()
        self._listener: Listener | None = None
        self._titles: Titles | None = None

    @property
    def listener(self) -> "Listener":
        """What hears wishes; its lexicon knows titles and values."""
        from rec_gen.listener import Listener  # needs scikit-learn, and lists do not

        with self._making:
            if self._listener is None:
                self._listener = Listener(self._catalog)
            return self._listener

    @property
    def titles(self) -> "Titles":
        """What finds titles in free text."""
        from rec_gen.titles import Titles  # as above

        with self._making:
            if self._titles is None:
                self._titles = Titles(self._catalog)
            return self._titles

    def make(self) -> None:
        """Make all of it now, so that no reply waits for it."""
        _ = self.listener, self.titles
