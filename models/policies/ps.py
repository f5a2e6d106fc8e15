"""Processor sharing: all jobs present get equal shares of the server."""

SEES = ()
SHAPE = "sharing"
