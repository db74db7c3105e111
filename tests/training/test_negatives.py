from pathlib import Path

from rec_gen.bundle import Bundle
from rec_gen.recommender import Recommender
from tests.toy import toy_dataset
from training.examples import each_target
from training.negatives import preferences


def test_negatives_are_the_likeliest_other_items(whole: Path) -> None:
    bundle = Bundle.load(whole)
    dataset = toy_dataset()
    examples = list(each_target(dataset.sequences()))
    ids = bundle.catalog.ids
    recommender = Recommender(bundle)
    found = list(preferences(bundle, examples, 3, exclude_seen=True))
    assert len(found) == len(examples)
    for example, preference in zip(examples, found, strict=True):
        history = [ids[position] for position in example.history]
        (answer,) = recommender.recommend(
            [history], k=3, block=[ids[example.target]], beam_width=12
        )
        wanted = [bundle.catalog.position(recommended.item.id) for recommended in answer]
        tokens = bundle.spellings.tokens
        assert preference.rejected == [tokens[item].tolist() for item in wanted]
        assert preference.chosen == tokens[example.target].tolist()
        assert preference.prompt == bundle.renderer().render(example.history).ids
