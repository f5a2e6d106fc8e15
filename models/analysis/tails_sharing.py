"""Processor sharing: the transform of the response time of a job of size x (Ott, 1984).

With psi(q) = q - rate (1 - E[exp(-q S)]) and W_s the function whose transform is 1/(psi(q) - s),

    E[exp(-s T); size x] = (1 - load) / (1 - load + s x + s^2 int_0^x int_0^u W_s).

W_s solves W(x) = 1 + int_0^x (s + rate P(S > v)) W(x - v) dv, here by collocation, panel after panel.
"""

from __future__ import annotations

import numpy as np
from openqueues.models.analysis.grid import Grid, rule
from openqueues.models.analysis.tails_tables import Array, running, sizes_near
from openqueues.models.errors import InputError
from openqueues.models.laws import SizeLaw

_HALVINGS = 16
_HUGE = 1e40


def sharing(queue):
    """The transform as a function of s, for a Queue of tails_transforms; InputError for discrete sizes."""
    law = queue.joint.sizes
    if law.atoms is not None:
        raise InputError(
            f"quantiles of policy 'ps' are analysed for sizes with a density, and '{law.spec}' has none: use another."
        )
    sizes = sizes_near(law, *queue.where)
    grid = sizes.grid
    order, edges = grid.order, np.append(0.0, grid.edges[:-1])
    count = order * int(np.searchsorted(edges, 8 * queue.time))
    x, mass = sizes.x[:count], sizes.mass[:count]
    integral = running(grid, grid.weights)[:count, :count]
    work = queue.rate * _convolution(law, grid, count)
    idle = 1 - queue.load

    def transform(s):
        w = np.zeros((len(s), count), complex)
        done = count
        for start in range(0, count, order):
            here = slice(start, start + order)
            known = 1 + s[:, None] * (w[:, :start] @ integral[here, :start].T) + w[:, :start] @ work[here, :start].T
            matrix = np.eye(order) - s[:, None, None] * integral[here, here] - work[here, here]
            w[:, here] = np.linalg.solve(matrix, known[..., None])[..., 0]
            # Where all of these are huge, no larger job can be done in the times looked at.
            if np.abs(w[:, here]).min() > _HUGE:
                done = start + order
                break
        near = slice(0, done)
        once = w[:, near] @ integral[near, near].T
        twice = once @ integral[near, near].T
        return (idle / (idle + s[:, None] * x[near] + s[:, None] ** 2 * twice)) @ mass[near]

    return transform


def _convolution(law: SizeLaw, grid: Grid, count: int) -> Array:
    """(count, count): values of a function at the nodes to int_0^x P(S > x - u) function(u) du at the nodes.

    The function is a polynomial on each panel; P(S > v) may be like a power of v near 0, so the intervals
    halve towards u = x.
    """
    order, x = grid.order, grid.x[:count, None]
    kinks = [v for v in (*law.support, *law.breakpoints) if 0 < v < np.inf]
    panels = np.append(0.0, grid.edges[: count // order])
    cuts = [np.broadcast_to(panels, (count, len(panels))), x * (1 - 0.5 ** np.arange(1, _HALVINGS)), x]
    cuts += [x - v for v in kinks]
    ends = np.sort(np.clip(np.concatenate(cuts, axis=1), 0.0, x), axis=1)
    nodes, weights, _, series = rule(order)
    half = 0.5 * np.diff(ends, axis=1)[..., None]
    at = 0.5 * (ends[:, 1:] + ends[:, :-1])[..., None] + half * nodes
    share = half * weights * law.sf(np.maximum(x[..., None] - at, 0.0))
    row, *_ = used = np.nonzero(share)
    at, share = at[used], share[used]
    panel, place = grid.locate(at)
    shares = np.polynomial.legendre.legvander(place, order - 1) @ series * share[:, None]
    place = row[:, None] * count + np.minimum(panel[:, None] * order + np.arange(order), count - 1)
    return np.bincount(place.ravel(), shares.ravel(), count * count).reshape(count, count)
