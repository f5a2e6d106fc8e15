"""Large language models: requests, hardware laws, workloads, predictions, the engine, and clusters of engines.

requests = generated("poisson:rate=8", "azure-conv", 100_000, seed=1)
requests = predicted(requests, "lognormal:sigma=0.5", seed=1)
served = serve(requests, hardware_law("llama2-70b-a100-tp4"), "sprpt", kv_tokens=400_000)
metrics(served, requests, slo_ttft_s=2.0)
"""

from openqueues.models.llm.cluster import Cluster, Instance, ServedCluster, serve_cluster
from openqueues.models.llm.cluster_metrics import cluster_summary
from openqueues.models.llm.engine import Served, serve
from openqueues.models.llm.hardware import Hardware, hardware_law
from openqueues.models.llm.hardware import names as hardware_names
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.policies import names as policy_names
from openqueues.models.llm.policies import policy
from openqueues.models.llm.predictions import PREDICTORS, predicted, predictor
from openqueues.models.llm.replication import completed, replication, summary
from openqueues.models.llm.requests import COLUMNS, Requests, check_columns, from_columns, read_trace
from openqueues.models.llm.routers import names as router_names
from openqueues.models.llm.routers import router
from openqueues.models.llm.workloads import ARRIVALS, LENGTHS, MEASURED, arrivals_law, generated, lengths_law

__all__ = [
    "ARRIVALS",
    "COLUMNS",
    "LENGTHS",
    "MEASURED",
    "PREDICTORS",
    "Cluster",
    "Hardware",
    "Instance",
    "Requests",
    "Served",
    "ServedCluster",
    "arrivals_law",
    "check_columns",
    "cluster_summary",
    "completed",
    "from_columns",
    "generated",
    "hardware_law",
    "hardware_names",
    "lengths_law",
    "metrics",
    "policy",
    "policy_names",
    "predicted",
    "predictor",
    "read_trace",
    "replication",
    "router",
    "router_names",
    "serve",
    "serve_cluster",
    "summary",
]
