"""Jackson and Burke: two stations by themselves, Poisson input, exponential sizes."""

SEES = ("product_form",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(product_form):
    return product_form
