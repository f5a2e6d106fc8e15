"""One workload under many models of its predictions."""

from openqueues.models.mg1 import exact, simulate

__all__ = ["exact", "simulate"]
