"""Queues by simulation: event kernels over arrays, and the drivers that feed them."""

from openqueues.models.queues.compiled import cache_folder
from openqueues.models.queues.replication import QUANTILES
from openqueues.models.queues.server import Server
from openqueues.models.queues.single import simulate

__all__ = ["QUANTILES", "Server", "cache_folder", "simulate"]
