"""Names are made once for all threads, and before a change of the catalog is seen."""

from concurrent.futures import ThreadPoolExecutor

from rec_gen.catalog import Item
from rec_gen.names import Names
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.rec_gen.test_wishes import FILMS


def test_all_threads_get_the_same_names() -> None:
    names = Names(FILMS)
    with ThreadPoolExecutor(8) as threads:
        listeners = set(threads.map(lambda _: names.listener, range(32)))
        titles = set(threads.map(lambda _: names.titles, range(32)))
    assert len(listeners) == len(titles) == 1
    assert listeners.pop().catalog is FILMS


def test_names_follow_the_catalog_and_outlive_removals() -> None:
    recommender = Recommender(random_bundle(FILMS, "title", tasks=["reply"]))
    first = recommender.names
    recommender.remove_items(["m2"])
    assert recommender.names is first
    before = FILMS[0]
    recommender.put_items([Item("m1", "Ronin", before.fields)])
    assert recommender.names is not first
    assert [one.item for one in recommender.names.listener.lexicon.find("ronin or heat")] == ["m1"]


def test_only_a_bundle_that_replies_makes_names_when_its_catalog_changes() -> None:
    for tasks, made in (((), False), (("reply",), True)):
        recommender = Recommender(random_bundle(FILMS, "title", tasks=tasks))
        recommender.put_items([Item("m1", "Ronin", FILMS[0].fields)])
        assert (recommender.names._titles is not None) is made
        assert (recommender.names._listener is not None) is made
