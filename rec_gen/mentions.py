"""Where a text names some items of a catalog."""

from collections.abc import Iterable, Iterator

import regex

from rec_gen.catalog import Catalog
from rec_gen.text import clean_text

_YEAR = regex.compile(r"\s*\(-?\d{1,4}\)$")


def split_mentions(text: str, catalog: Catalog, items: Iterable[int]) -> Iterator[str | int]:
    """Split a text at the titles of items.

    A title counts without its year and as whole words, the longest at each place. Case is ignored
    where no title stands in the text as the catalog writes it.

    Args:
        text: The text, which is cleaned first.
        catalog: The items.
        items: The catalog positions of those to look for; of equal titles the first counts.

    Yields:
        Pieces of text that are not empty, and for each title the position of its item.
    """
    text = clean_text(text)
    named = {_YEAR.sub("", clean_text(catalog.titles[item])): int(item) for item in [*items][::-1]}
    titles = sorted(filter(None, named), key=len, reverse=True)
    pattern = rf"(?<!\w)(?:{'|'.join(f'({regex.escape(title)})' for title in titles)})(?!\w)"
    flags = 0 if regex.search(pattern, text) else regex.IGNORECASE
    start = 0
    for match in regex.finditer(pattern, text, flags) if titles else ():
        if start < match.start():
            yield text[start : match.start()]
        yield named[titles[match.lastindex - 1]]
        start = match.end()
    if text[start:]:
        yield text[start:]
