"""Orca: first come first served, whole prompts beside decoding, memory reserved for the longest answer."""

SEES = ("arrival",)
SHAPE = "falling order"
PARAMETERS = {"mechanism": "orca"}


def rank(arrival):
    return arrival
