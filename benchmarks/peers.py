# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["ciw==3.2.7", "simpy==4.1.2", "most-queue==2.9", "line-solver==3.0.8.0"]
# ///
"""Other simulators of M/M/1, one run each: `peers.py PEER POLICY LOAD JOBS SEED` prints one line of JSON.

They live in an environment of their own (the block above; `uv run --script` makes it), since line-solver
needs pandas below 3 and none of them is needed to use openqueues. Timed is the simulation alone, random
numbers included, without imports and start-up: CPU time of the process, and of its child for LINE.
Sizes are exponential with mean 1, predictions exponential with the size as mean.
"""

import heapq
import json
import math
import random
import resource
import sys
import time

WARMUP = 0.1


def mean_after_warmup(responses):
    """Mean of `responses`, which are in order of time, without those of the warm-up."""
    counted = responses[int(len(responses) * WARMUP / (1 + WARMUP)) :]
    return sum(counted) / len(counted)


def run_simpy(policy, load, jobs, seed):
    """FCFS by SimPy's Resource; SRPT and SPRPT by a server process with a heap, left to the user of SimPy."""
    import simpy

    rng = random.Random(seed)
    env = simpy.Environment()
    responses = []

    def fcfs():
        server = simpy.Resource(env, 1)

        def job():
            arrival = env.now
            with server.request() as turn:
                yield turn
                yield env.timeout(rng.expovariate(1.0))
            responses.append(env.now - arrival)

        while len(responses) < jobs:
            yield env.timeout(rng.expovariate(load))
            env.process(job())

    def ranked():
        waiting = []  # (rank, arrival, left)
        current = None  # [rank when service (re)started, arrival, left]
        next_arrival = env.now + rng.expovariate(load)
        while len(responses) < jobs:
            if current is None and waiting:
                current = heapq.heappop(waiting)
            finish = env.now + current[2] if current else math.inf
            began = env.now
            if finish <= next_arrival:
                yield env.timeout(current[2])
                responses.append(env.now - current[1])
                current = None
                continue
            yield env.timeout(next_arrival - env.now)
            next_arrival = env.now + rng.expovariate(load)
            size = rng.expovariate(1.0)
            rank = size if policy == "srpt" else size * rng.expovariate(1.0)
            if current:
                served = env.now - began
                current = (current[0] - served, current[1], current[2] - served)
                heapq.heappush(waiting, current)
                current = None
            heapq.heappush(waiting, (rank, env.now, size))

    env.process(fcfs() if policy == "fcfs" else ranked())
    start = time.process_time()
    env.run()
    seconds = time.process_time() - start
    return seconds, responses[:jobs]


def run_ciw(policy, load, jobs, seed):
    """FCFS only: Ciw has no policy that knows sizes (classes of priority could only approximate one)."""
    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(load)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[1],
    )
    ciw.seed(seed)
    start = time.process_time()
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(jobs)
    records = simulation.get_all_records()
    seconds = time.process_time() - start
    records.sort(key=lambda record: record.exit_date)
    return seconds, [record.exit_date - record.arrival_date for record in records]


def run_most_queue(policy, load, jobs, seed):
    """FCFS, SRPT and SPRPT are built in; the predictor of SPRPT is given by the user."""
    import numpy as np
    from most_queue.sim.base import QsSim
    from most_queue.sim.size_based import SizeBasedQsSim

    class Exponential:
        def predict(self, size, rng):
            return rng.exponential(size)

    if policy == "fcfs":
        queue = QsSim(1, verbose=False, buffer_type="deque", seed=seed)
    else:
        queue = SizeBasedQsSim(1, discipline=policy.upper(), verbose=False)
        queue.generator = np.random.default_rng(seed)
        queue.set_predictor(Exponential())
    queue.set_sources(load, "M")
    queue.set_servers(1.0, "M")
    start = time.process_time()
    while queue.served < WARMUP * jobs:
        queue.run_one_step()
    early = queue.v[0] * queue.served, queue.served  # the simulator keeps moments only
    while queue.served < jobs:
        queue.run_one_step()
    seconds = time.process_time() - start
    return seconds, (queue.v[0] * queue.served - early[0]) / (queue.served - early[1])


def run_line(policy, load, jobs, seed):
    """FCFS and SRPT by LINE's native discrete-event simulator (LDES); it has no predictions."""
    from line_solver import Exp, Network, OpenClass, Queue, SchedStrategy, Sink, SolverLDES, Source

    model = Network("M/M/1")
    source = Source(model, "source")
    queue = Queue(model, "queue", getattr(SchedStrategy, policy.upper()))
    sink = Sink(model, "sink")
    job = OpenClass(model, "job")
    source.setArrival(job, Exp(load))
    queue.setService(job, Exp(1.0))
    model.link(Network.serialRouting(source, queue, sink))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    table = SolverLDES(model, samples=jobs, seed=seed, verbose=False).getAvgTable()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, float(table["RespT"].iloc[-1])


PEERS = {
    "simpy": (run_simpy, ("fcfs", "srpt", "sprpt")),
    "ciw": (run_ciw, ("fcfs",)),
    "most-queue": (run_most_queue, ("fcfs", "srpt", "sprpt")),
    "line": (run_line, ("fcfs", "srpt")),
}


def main():
    peer, policy, load, jobs, seed = sys.argv[1:]
    run, policies = PEERS[peer]
    if policy not in policies:
        sys.exit(f"{peer} cannot do {policy} exactly")
    seconds, result = run(policy, float(load), int(jobs), int(seed))
    mean = mean_after_warmup(result) if isinstance(result, list) else result
    line = {"cpu": seconds, "jobs": int(jobs), "mean": mean}
    sys.stdout.write("\n" + json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
