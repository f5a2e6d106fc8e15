"""Sarathi-Serve: first come first served, pages, prompts in chunks beside the requests that decode."""

SEES = ("arrival",)
SHAPE = "falling order"
PARAMETERS = {"mechanism": "sarathi"}


def rank(arrival):
    return arrival
