"""What a negation reaches, and what only looks like one."""

import pytest

from tests.rec_gen.wordings import understood

HANKS, PITT = "'Tom Hanks' in actors", "'Brad Pitt' in actors"
COMEDY, HORROR = "'Comedy' in genres", "'Horror' in genres"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # words of titles
        ("I loved No Country for Old Men", []),
        ("something like No Country for Old Men with Brad Pitt", [PITT]),
        ("not No Country for Old Men", ["-old"]),
        ("I want a comedy like No Country for Old Men", [COMEDY]),
        # bounds and fillers
        ("less than 90 minutes with Tom Hanks", ["runtime < 90", HANKS]),
        ("something not too long with Tom Hanks", [HANKS]),
        ("No I want a comedy", [COMEDY]),
        ("no worries I want a comedy", [COMEDY]),
        ("nothing but comedy", [COMEDY]),
        ("anything but comedy", [f"not {COMEDY}"]),
        ("not only horror", []),
        ("can't get enough horror", []),
        ("I don't mind horror", [f"+not {HORROR}"]),
        ("I don't care if it is horror", [f"+not {HORROR}"]),
        ("why don't you show me a comedy", [COMEDY]),
        ("I am not sure I want horror", []),
        ("I don't hate horror", []),
        ("I can't do without comedy", []),
        ("I don't want anything but comedy", []),
        # what it does reach
        ("I don't think I want horror", [f"not {HORROR}"]),
        ("I don't want to see horror", [f"not {HORROR}"]),
        ("do not recommend horror", [f"not {HORROR}"]),
        ("stop showing me horror", [f"not {HORROR}"]),
        ("I hate that you recommend horror", [f"not {HORROR}"]),
        ("I don't want you to recommend horror", [f"not {HORROR}"]),
        ("no horror or anything with Tom Hanks", [f"not {HORROR}", f"not {HANKS}"]),
        ("I hate horror and anything with Tom Hanks", [f"not {HORROR}", f"not {HANKS}"]),
        ("nothing with Tom Hanks", [f"not {HANKS}"]),
        ("no movies with Tom Hanks", [f"not {HANKS}"]),
        ("I no longer want horror", [f"not {HORROR}"]),
        ("I'm tired of horror", [f"not {HORROR}"]),
        ("I've seen enough horror", [f"not {HORROR}"]),
        ("no horror and no comedies", [f"not {HORROR}", f"not {COMEDY}"]),
        ("I hate horror and want a comedy", [f"not {HORROR}", COMEDY]),
        ("I don't want horror I want a comedy", [f"not {HORROR}", COMEDY]),
        ("no horror and something with Tom Hanks", [f"not {HORROR}", HANKS]),
        ("no horror with Tom Hanks", [f"not {HORROR}"]),
        ("without Tom Hanks, with Brad Pitt", [f"not {HANKS}", PITT]),
        ("no horror and under 100 minutes", [f"not {HORROR}", "runtime < 100"]),
        ("not horror but comedy please", [f"not {HORROR}", COMEDY]),
        ("less horror, more comedy", [f"not {HORROR}", COMEDY]),
        ("exclude horror", [f"not {HORROR}"]),
        ("I have nothing against horror", [f"+not {HORROR}"]),
        ("I prefer comedy to horror", [COMEDY]),
        ("I'd rather have a comedy than horror", [COMEDY]),
        ("I'd rather not see horror", [f"not {HORROR}"]),
        ("no horror or any comedies", [f"not {HORROR}", f"not {COMEDY}"]),
        # plain wishes
        ("any comedies?", [COMEDY]),
        ("I'm done with horror", [f"not {HORROR}"]),
        ("I'm fine with horror", [f"+not {HORROR}"]),
        ("horror please", [HORROR]),
        ("horror, please", [HORROR]),
        ("comedy only", [COMEDY]),
        ("I'd like a comedy", [COMEDY]),
        ("how about a comedy?", [COMEDY]),
        ("do you have any comedies", [COMEDY]),
        ("You know that I want horror", [HORROR]),
        ("I like horror", []),
        ("I've seen horror", []),
        ("do you watch horror?", []),
    ],
)
def test_messages(message: str, expected: list[str]) -> None:
    assert sorted(understood(message)) == sorted(expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("not a big fan of drama", ["not 'Drama' in genres"]),
        ("no signs of aging", []),
        ("I don't like the heat", []),
        ("Signs of aging bore me, not", []),
        ("not big", ["-big"]),
        ("seen heat", ["-heat86", "-heat95"]),
        ("I have seen Signs", ["-signs"]),
        ('I never liked "signs"', ["-signs"]),
        ("not Heat (1986)", ["-heat86"]),
        ("not Heat 1995", ["-heat95"]),
        ("not Heat (1999)", []),
        ("not Heat", ["-heat86", "-heat95"]),
    ],
)
def test_titles_of_one_word(message: str, expected: list[str]) -> None:
    assert understood(message) == expected


UNWANTED = (
    "no {}",
    "I don't want {}",
    "please no {}",
    "I hate {}",
    "not {}",
    "I can't stand {}",
    "I really don't like {}",
    "never {}",
    "I'm sick of {}",
    "don't recommend me {}",
    "could you not recommend {}",
    "I would not like {}",
    "I'd rather not watch {}",
    "without {}",
    "nothing like {}",
    "avoid {}",
    "I don't feel like {}",
    "I do not ever want {} again",
    "I don't want any more {}",
    "I want no {}",
    "give me something without {}",
    "show me anything but {}",
    "recommend something that is not {}",
    "I would like it not to be {}",
    "I am not looking for {}",
    "I don't want something with {}",
    "it must not be {}",
    "it should not have {}",
    "I never want to see {}",
    "I do not enjoy {}",
    "I don't want to watch {} please",
    "I don't want you to give me {}",
    "I won't watch {}",
    "find me a film with no {}",
    "I'm looking for a film that isn't {}",
    "don't suggest or recommend {}",
    "I wasn't asking for {}",
    "I didn't ask for {}",
    "why do you keep recommending {}",
    "you keep showing me {}",
    "you always recommend {}",
    "stop giving me {}",
    "I asked for no {}",
    "I want anything except {}",
    "not in the mood for {}",
    "I don't think I need {}",
    "I doubt I want {}",
    "I'd hate {}",
    "who wants {}",
    "nobody wants {}",
    "I wish you would stop showing {}",
    "do I look like I want {}",
    "as if I want {}",
    "if I wanted {} I'd say so",
    "I used to want {}",
    "I wanted {} before",
    "don't you dare show me {}",
    "no way I want {}",
    "I don't believe I want {}",
    "my wife wants {} but I don't",
    "it's not that I want {}",
    "I refuse {}",
    "I refuse to watch {}",
    "anything with {} is out",
    "{} is the last thing I want",
    "{} is not what I want",
    "{} isn't something I want",
    "I have had it with {}",
    "I'm not saying I want {}",
    "rather than {} please",
)
"""None of these asks for what stands in it."""
UNREFUSED = (
    "{} please",
    "I want {}",
    "give me {}",
    "I'd love {}",
    "can you find me {}",
    "show me {} instead",
    "I'm in the mood for {}",
    "why don't we watch {}",
    "I don't mind {}",
    "I would not mind {}",
    "no problem with {}",
    "how about {}",
    "no thanks, I want {}",
    "not bad, but I want {}",
    "I can't wait to see {}",
    "can't you show me {}",
    "couldn't you find {}",
    "I couldn't be happier with {}",
    "I've never seen {}",
    "I haven't seen any {} yet",
    "I've not seen {}",
    "who doesn't like {}",
    "who does not love {}",
    "I don't only want {}",
    "I can't resist {}",
    "you can't go wrong with {}",
    "nothing beats {}",
    "there is nothing like {}",
    "I never get tired of {}",
    "I'm not against {}",
    "don't forget {}",
    "never mind the {}",
    "I wouldn't say no to {}",
    "not that I hate {}",
    "I can't imagine life without {}",
    "I don't hate {}",
    "I don't dislike {}",
    "never enough {}",
    "not enough {}",
    "there's not enough {} here",
    "too few {}",
    "no one makes {} like that",
    "no more waiting, {}",
    "I need {} no matter what",
    "without doubt {}",
    "not long, {}",
    "why no {}?",
    "why not {}?",
    "is there no {}?",
    "don't you have {}?",
    "do you not have {}?",
    "haven't you got {}",
    "no, {}",
    "no. {} please",
    "any reason not to watch {}",
)
"""None of these refuses it."""

OBJECTS = ("horror", "horror movies", "Tom Hanks", "a film with Tom Hanks", "anything by Tom Hanks")


@pytest.mark.parametrize("wording", UNWANTED)
def test_what_is_not_wanted_is_not_asked_for(wording: str) -> None:
    for name in OBJECTS:
        told = understood(wording.format(name))
        assert all(one.startswith(("not ", "-")) for one in told), (name, told)


@pytest.mark.parametrize("wording", UNREFUSED)
def test_what_is_not_refused_is_not_kept_away(wording: str) -> None:
    for name in ("horror", "Tom Hanks"):
        told = understood(wording.format(name))
        assert not any(one.startswith(("not ", "-")) for one in told), (name, told)
