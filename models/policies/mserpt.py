"""M-SERPT: the largest expected remaining processing time that the job has had so far."""

SEES = ("predicted", "age")
SHAPE = "general"
INFORMATION = "distributions"
PARAMETERS = {"table": "mserpt"}


def rank(predicted, age, table):
    low, high = 0, table.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if predicted > table[middle, 0] else (low, middle)
    row = table[low]
    stretch = predicted / row[1]
    ranks = (row.shape[0] - 3) // 2
    local = age / stretch * (1 + 1e-13)
    low, high = 3, 2 + int(row[2])
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if row[middle] <= local else (low, middle - 1)
    if low == 2 + int(row[2]):
        return stretch * row[low + ranks]
    part = (age / stretch - row[low]) / (row[low + 1] - row[low])
    return stretch * (row[low + ranks] + part * (row[low + ranks + 1] - row[low + ranks]))


def turn(predicted, age, table):
    low, high = 0, table.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if predicted > table[middle, 0] else (low, middle)
    row = table[low]
    stretch = predicted / row[1]
    ranks = (row.shape[0] - 3) // 2
    local = age / stretch * (1 + 1e-13)
    last = 2 + int(row[2])
    low, high = 3, last
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if row[middle] <= local else (low, middle - 1)
    if low == last:
        return float("inf")
    place = low + 1
    if row[place + ranks] <= row[low + ranks]:
        while place < last and row[place + 1] > row[place] and row[place + 1 + ranks] <= row[place + ranks]:
            place += 1
    return stretch * row[place]
