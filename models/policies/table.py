"""The rank of a table that openqueues.models.analysis.gittins makes, and where its pieces end.

A policy of the shape "table" has these two functions; its file need not write them.
"""


def _place(predicted, age, table):
    """(row of the prediction, place in it of the last knot that the age has reached, stretch of the row)."""
    low, high = 0, table.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if predicted > table[middle, 0] else (low, middle)
    row = table[low]
    stretch = (predicted / row[1]) ** row[2]
    local = age / stretch * (1 + 1e-13)
    low, high = 4, 3 + int(row[3])
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if row[middle] <= local else (low, middle - 1)
    return row, low, stretch


def rank(predicted, age, table):
    row, place, stretch = _place(predicted, age, table)
    ranks = (row.shape[0] - 4) // 2
    if place == 3 + int(row[3]):
        return stretch * row[place + ranks]
    part = (age / stretch - row[place]) / (row[place + 1] - row[place])
    return stretch * (row[place + ranks] + part * (row[place + ranks + 1] - row[place + ranks]))


def turn(predicted, age, table):
    row, place, stretch = _place(predicted, age, table)
    ranks = (row.shape[0] - 4) // 2
    last = 3 + int(row[3])
    if place == last:
        return float("inf")
    falls = row[place + 1 + ranks] <= row[place + ranks]
    place += 1
    if falls:
        while place < last and row[place + 1] > row[place] and row[place + 1 + ranks] <= row[place + ranks]:
            place += 1
    return stretch * row[place]
