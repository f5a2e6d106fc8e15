"""A slow, obvious twin of the dispatching kernels: at every arrival serve every queue, then look at all there is."""

import math


class Queue:
    """A server of speed 1 that always serves the job of lowest rank."""

    def __init__(self, rank):
        self.rank = rank
        self.now = 0.0
        self.jobs = []  # dicts: number, size, predicted, arrival, age

    def key(self, job):
        return self.rank(job["size"], job["predicted"], job["arrival"], job["age"]), job["arrival"]

    def advance(self, until, response):
        while self.jobs and self.now < until:
            job = min(self.jobs, key=self.key)
            end = self.now + job["size"] - job["age"]
            if end > until:
                job["age"] += until - self.now
                self.now = until
                return
            self.now = end
            response[job["number"]] = end - job["arrival"]
            self.jobs.remove(job)
        self.now = max(self.now, until)

    def columns(self, size, predicted):
        left = [max(job["predicted"] - job["age"], 0.0) for job in self.jobs]
        return {
            "size": size,
            "predicted": predicted,
            "count": len(self.jobs),
            "work": sum(job["size"] - job["age"] for job in self.jobs),
            "predicted_work": sum(left),
            "same_class": sum(job["predicted"] == predicted for job in self.jobs),
            "shorter": sum(job["predicted"] < predicted for job in self.jobs),
            "longer": sum(job["predicted"] > predicted for job in self.jobs),
            "ahead": sum(work for work in left if work <= predicted),
        }


def dispatch(decide, rank, n, everyone, arrivals, sizes, predictions, routing):
    """(response time, queue) of each job; `decide` takes the columns by name."""
    queues = [Queue(rank) for _ in range(n)]
    response, joined = [math.nan] * len(sizes), []
    for number, arrival in enumerate(arrivals):
        *uniforms, tie = routing[number]
        if everyone:
            asked = list(range(n))
        else:
            others = list(range(n))
            asked = sorted(others.pop(int(u * len(others))) for u in uniforms)
        for queue in queues:
            queue.advance(arrival, response)
        scores = []
        for q in asked:
            columns = queues[q].columns(sizes[number], predictions[number])
            scores.append(decide(**columns, turn=(q - number) % n))
        best = [q for q, score in zip(asked, scores, strict=True) if score == min(scores)]
        q = best[int(tie * len(best))]
        joined.append(q)
        queues[q].jobs.append(
            {"number": number, "size": sizes[number], "predicted": predictions[number], "arrival": arrival, "age": 0.0}
        )
    for queue in queues:
        queue.advance(math.inf, response)
    return response, joined
