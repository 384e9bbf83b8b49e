"""Names that people can say for architectures: an adjective and an animal, the same for the same hash, everywhere.

Of 10,000 names two architectures of a run may share one; the number of a trial, which stands beside, tells them apart.
"""

_ADJECTIVES = (
    "able agile amber ample azure bold brave breezy brief bright brisk calm candid clever cosy crisp curious "
    "daring deft dapper eager early easy fair fancy fearless fine fleet fluent fond frank fresh gentle glad "
    "golden grand green happy hardy honest humble jolly keen kind lean light lively loyal lucid lucky mellow "
    "merry mighty mild modest neat nimble noble novel patient placid plain polite prime proud prudent quick quiet "
    "rapid ready robust rosy sage sharp shy silent silver simple sleek smart smooth snug sober solid sound spry "
    "steady still sturdy subtle sunny swift tender tidy tiny upbeat vivid warm wise witty"
).split()
_ANIMALS = (
    "adder alpaca ant badger bat bear beaver bee bison boar bream camel carp cat cicada cobra cod condor cougar "
    "crab crane cricket crow deer dingo dolphin donkey dove duck eagle eel egret elk falcon ferret finch fox frog "
    "gecko gibbon goat goose gull hare hawk heron hippo horse ibex ibis impala jackal jay kestrel kiwi koala lark "
    "lemur lion lizard llama lynx magpie marten mole moose moth mouse newt octopus orca oriole otter owl panda "
    "parrot pelican perch pigeon pike plover puffin puma quail rabbit raven robin salmon seal shark sloth snail "
    "sparrow squid stork swan tapir tiger toad trout turtle walrus"
).split()


def spoken_name(graph_hash: str) -> str:
    """The name of an architecture by its hash, for example ``brave otter``."""
    adjective, animal = divmod(int(graph_hash, 16) % (len(_ADJECTIVES) * len(_ANIMALS)), len(_ANIMALS))
    return f"{_ADJECTIVES[adjective]} {_ANIMALS[animal]}"
