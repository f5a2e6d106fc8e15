"""Large language models: requests, hardware laws, workloads, predictions, the engine, clusters of engines, programs.

requests = generated("poisson:rate=8", "azure-conv", 100_000, seed=1)
requests = predicted(requests, "lognormal:sigma=0.5", seed=1)
served = serve(requests, hardware_law("llama2-70b-a100-tp4"), "sprpt", kv_tokens=400_000)
metrics(served, requests, slo_ttft_s=2.0)

programs = with_calls("poisson:rate=3", 1000, seed=1)
served = serve_cluster(programs, Cluster([Instance("gptj-6b-a100-infercept")]), "infercept")
program_summary(served, programs)
"""

from openqueues.models.llm.calls import with_calls
from openqueues.models.llm.closed import closed_loop
from openqueues.models.llm.cluster import ServedCluster, serve_cluster
from openqueues.models.llm.cluster_metrics import as_one, cluster_summary
from openqueues.models.llm.controllers import controller
from openqueues.models.llm.controllers import names as controller_names
from openqueues.models.llm.engine import Served, serve
from openqueues.models.llm.fitting import COLUMNS as STEP_COLUMNS
from openqueues.models.llm.fitting import Fit, Steps, corrected, fit_law, law_text, read_steps
from openqueues.models.llm.fleets import Cluster, Instance
from openqueues.models.llm.hardware import Hardware, hardware_law
from openqueues.models.llm.hardware import names as hardware_names
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.policies import names as policy_names
from openqueues.models.llm.policies import policy
from openqueues.models.llm.predictions import PREDICTORS, predicted, predictor
from openqueues.models.llm.program_metrics import program_finish, program_summary
from openqueues.models.llm.programs import Programs, alone, fair_finish
from openqueues.models.llm.questions import Questions, questions
from openqueues.models.llm.reasoning import Reasoned, majority, search, thought, tree
from openqueues.models.llm.replication import completed, replication, summary
from openqueues.models.llm.requests import COLUMNS, Requests, check_columns, from_columns, read_trace
from openqueues.models.llm.routers import names as router_names
from openqueues.models.llm.routers import router
from openqueues.models.llm.workflows import workflow
from openqueues.models.llm.workloads import ARRIVALS, LENGTHS, MEASURED, arrivals_law, generated, lengths_law

__all__ = [
    "ARRIVALS",
    "COLUMNS",
    "LENGTHS",
    "MEASURED",
    "PREDICTORS",
    "STEP_COLUMNS",
    "Cluster",
    "Fit",
    "Hardware",
    "Instance",
    "Programs",
    "Questions",
    "Reasoned",
    "Requests",
    "Served",
    "ServedCluster",
    "Steps",
    "alone",
    "arrivals_law",
    "as_one",
    "check_columns",
    "closed_loop",
    "cluster_summary",
    "completed",
    "controller",
    "controller_names",
    "corrected",
    "fair_finish",
    "fit_law",
    "from_columns",
    "generated",
    "hardware_law",
    "hardware_names",
    "law_text",
    "lengths_law",
    "majority",
    "metrics",
    "policy",
    "policy_names",
    "predicted",
    "predictor",
    "program_finish",
    "program_summary",
    "questions",
    "read_steps",
    "read_trace",
    "replication",
    "router",
    "router_names",
    "search",
    "serve",
    "serve_cluster",
    "summary",
    "thought",
    "tree",
    "with_calls",
    "workflow",
]
