"""The fair sojourn protocol with predictions; late jobs share the server (PSBS), or as the parameters say.

las: of the late jobs the one least served; order: the first to be late; beside: the first job that is not
late gets a share too.
"""

SEES = ("late", "lates", "first", "earliest", "youngest")
SHAPE = "decision"
PARAMETERS = {"las": False, "order": False, "beside": False}
INFORMATION = "predictions"


def decide(late, lates, first, earliest, youngest, las, order, beside):
    if order:
        return earliest
    if late:
        return youngest if las else 1.0
    return first if beside or lates == 0 else 0.0
