"""Gittins from the joint law of size and prediction: an M/G/1 queue."""

from openqueues.models.mg1 import exact, simulate

__all__ = ["exact", "simulate"]
