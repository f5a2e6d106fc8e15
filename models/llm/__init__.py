"""One large language model on one replica: requests, hardware laws, workloads, predictions and the engine.

requests = generated("poisson:rate=8", "azure-conv", 100_000, seed=1)
requests = predicted(requests, "lognormal:sigma=0.5", seed=1)
served = serve(requests, hardware_law("llama2-70b-a100-tp4"), "sprpt", kv_tokens=400_000)
metrics(served, requests, slo_ttft_s=2.0)
"""

from openqueues.models.llm.engine import Served, serve
from openqueues.models.llm.hardware import Hardware, hardware_law
from openqueues.models.llm.hardware import names as hardware_names
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.policies import names as policy_names
from openqueues.models.llm.policies import policy
from openqueues.models.llm.predictions import PREDICTORS, predicted, predictor
from openqueues.models.llm.replication import completed, replication, summary
from openqueues.models.llm.requests import COLUMNS, Requests, check_columns, from_columns, read_trace
from openqueues.models.llm.workloads import ARRIVALS, LENGTHS, MEASURED, arrivals_law, generated, lengths_law

__all__ = [
    "ARRIVALS",
    "COLUMNS",
    "LENGTHS",
    "MEASURED",
    "PREDICTORS",
    "Hardware",
    "Requests",
    "Served",
    "arrivals_law",
    "check_columns",
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
    "serve",
    "summary",
]
