"""All get alike until `most` probes in turn have given the same answer, as in Dynasor's rule for chains of thought."""

SEES = ("spent", "agree")
SHAPE = "decision"
INFORMATION = "blind"
PARAMETERS = {"most": 3.0}


def decide(spent, agree, most):
    return float("inf") if agree >= most else spent
