"""Clairvoyant: least true output of the program's stages in this layer and later ones, which the entry gives."""

SEES = ("value1",)
SHAPE = "falling order"
INFORMATION = "oracle"


def rank(value1):
    return value1
