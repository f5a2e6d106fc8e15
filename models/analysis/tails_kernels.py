"""The hot loops of the tails: sums of m exp(-theta x) at complex theta, by numba.

Sizes x ascend, so a sum ends where |exp(-theta x)| is below rounding. Tables of measures have a row for each
order y and a column for each size x.
"""

from __future__ import annotations

import math

import numpy as np
from openqueues.models.keeping import njit

_FAR = 42.0
_MOST_STEPS = 200


@njit(cache=True, nogil=True)
def roots(s, rate, x, measure):
    """(n_s, n_y): the root w of w = s + rate * sum over x of measure[y] (1 - exp(-w x)).

    exp(-w v) is the transform at s of the busy period that work v starts when jobs of this measure arrive.
    Newton's method from the root of the order before; it leaves Re w >= Re s only by overshooting, and then
    one step of the equation itself, a contraction, brings it back.
    """
    found = np.empty((len(s), len(measure)), np.complex128)
    for y in range(len(measure)):
        row = measure[y]
        last, share = 0, 0.0
        for j in range(len(x)):
            if row[j] != 0.0:
                last = j + 1
            share += row[j]
        for i in range(len(s)):
            at = found[i, y - 1] if y else s[i]
            for _ in range(_MOST_STEPS):
                re, im = at.real, at.imag
                sum_re, sum_im, slope_re, slope_im = 0.0, 0.0, 0.0, 0.0
                for j in range(last):
                    decay = re * x[j]
                    if decay > _FAR:
                        break
                    size = row[j] * math.exp(-decay)
                    turn = im * x[j]
                    part_re, part_im = size * math.cos(turn), -size * math.sin(turn)
                    sum_re += part_re
                    sum_im += part_im
                    slope_re += x[j] * part_re
                    slope_im += x[j] * part_im
                target = s[i] + rate * complex(share - sum_re, -sum_im)
                step = (at - target) / complex(1.0 - rate * slope_re, -rate * slope_im)
                if (at - step).real < 0.5 * s[i].real:
                    at = target
                    continue
                at = at - step
                if abs(step) <= 1e-7 * abs(at):
                    break
            found[i, y] = at
    return found


@njit(cache=True, nogil=True)
def sums(theta, x, measure):
    """(n_s, n_y): sum over x of measure[y] exp(-theta[s, y] x)."""
    answer = np.zeros(theta.shape, np.complex128)
    for i in range(theta.shape[0]):
        for y in range(theta.shape[1]):
            re, im, row = theta[i, y].real, theta[i, y].imag, measure[y]
            sum_re, sum_im = 0.0, 0.0
            for j in range(len(x)):
                decay = re * x[j]
                if decay > _FAR:
                    break
                if row[j] != 0.0:
                    size = row[j] * math.exp(-decay)
                    sum_re += size * math.cos(im * x[j])
                    sum_im -= size * math.sin(im * x[j])
            answer[i, y] = complex(sum_re, sum_im)
    return answer


@njit(cache=True, nogil=True)
def residences(s, own, over, passed, rates, index, weights):
    """(n_s, n_y): sum over x of own[y, x] exp(-(Z(y) - Z((y-x)+)) - s (x-y)+), Z the integral of the roots.

    passed and rates (n_s, 1 + n_y) are Z and its slope at 0 and at the orders; Z between them is a
    combination of the two neighbours, with `index` and `weights` (n_y, n_x, 4). over is (x-y)+.
    """
    answer = np.zeros((len(s), own.shape[0]), np.complex128)
    for i in range(len(s)):
        z, slope, here = passed[i], rates[i], s[i]
        for y in range(own.shape[0]):
            total = 0j
            for j in range(own.shape[1]):
                if own[y, j] == 0.0:
                    continue
                k, w = index[y, j], weights[y, j]
                left = w[0] * z[k] + w[1] * z[k + 1] + w[2] * slope[k] + w[3] * slope[k + 1]
                exponent = z[y + 1] - left + here * over[y, j]
                if exponent.real < _FAR:
                    size = own[y, j] * math.exp(-exponent.real)
                    total += complex(size * math.cos(exponent.imag), -size * math.sin(exponent.imag))
            answer[i, y] = total
    return answer


@njit(cache=True, nogil=True)
def recycled_classes(theta, x, own, points):
    """(n_s, n_y): E[1 - exp(-theta (S - (Y-y))+); Y > y] for orders `points`, own[y, x] their measure."""
    answer = np.zeros(theta.shape, np.complex128)
    for i in range(theta.shape[0]):
        for y in range(theta.shape[1]):
            total = 0j
            for above in range(y + 1, len(points)):
                gap = points[above] - points[y]
                for j in range(len(x)):
                    if x[j] > gap and own[above, j] != 0.0:
                        total += own[above, j] * (1.0 - np.exp(-theta[i, y] * (x[j] - gap)))
            answer[i, y] = total
    return answer
