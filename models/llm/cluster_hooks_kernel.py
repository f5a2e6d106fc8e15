# ruff: noqa: F821
"""Template of the cluster's kernel: what follows from the end of a request, for requests that nothing follows from.

Both are called as the clock of the cluster passes their time, in order of time, ties by number; before any iteration
that begins then. They may `release` other requests, now or later.
"""


@part
def ended(c, i, time):
    """Request i has made its last token, and its KV cache has been freed."""


@part
def refused(c, i, time):
    """The router has refused request i."""
