"""Queues by simulation: event kernels over arrays, and the drivers that feed them."""

from openqueues.models.queues.single import QUANTILES, Server, simulate

__all__ = ["QUANTILES", "Server", "simulate"]
