"""The M/G/1 tables of the survey: mean response time by policy and load."""

from openqueues.models.mg1 import exact, simulate

__all__ = ["exact", "simulate"]
