"""The mean of the predicted law of the size, less the age."""

SEES = ("predicted", "age")
SHAPE = "falling"
INFORMATION = "distributions"
PARAMETERS = {"table": "mean"}


def rank(predicted, age, table):
    low, high = 0, table.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if predicted > table[middle, 0] else (low, middle)
    return max(predicted / table[low, 1] * table[low, 4] - age, 0.0)
