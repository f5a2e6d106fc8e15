"""First those whose first token can still be in time, then who has waited longer than `patience`, each by arrival."""

SEES = ("arrival", "waited")
SHAPE = "order"
PARAMETERS = {"patience": 2.0}


def rank(arrival, waited, patience):
    return arrival if waited <= patience else arrival + 1e9
