"""A slow, obvious twin of the kernel of a server whose predictions cost: at every event look at every job."""

import math

FIRST, CHEAP, FULL = -3e300, -2e300, -1e300  # ranks of what comes before all predicted jobs


class Job:
    def __init__(self, arrival, size, predicted, long, draw):
        self.arrival, self.size, self.predicted, self.long, self.draw = arrival, size, predicted, long, draw
        self.age = self.price = 0.0
        self.full = False
        self.stage = "new"
        self.level = math.nan
        self.left = math.nan  # of a prediction that takes the server's time
        self.goal = math.nan  # the age at which a piece of service ends

    def rank(self):
        return {
            "cheap": CHEAP, "full": FULL, "later": FIRST, "known": self.predicted - self.age, "blind": self.level
        }[self.stage]  # fmt: skip


def serve(decide, costs, arrivals, sizes, predictions, longs, draws, loads):
    """(response time and price, price, predicted in full) of each job; `decide(queue, predicting, load, job, step)`."""
    jobs = [Job(*row) for row in zip(arrivals, sizes, predictions, longs, draws, strict=True)]
    answer = [None] * len(jobs)
    present, away = [], []  # away: (time of return, place in the station's order, job)
    stations = [0.0] * costs.stations
    now, upcoming = 0.0, 0

    def predict(job, stage, cost):
        """Begin a prediction by the server; False when it is there at once."""
        job.stage = stage
        if costs.model == "external":
            job.price += cost
            return False
        if costs.model == "server":
            job.left = cost
            return cost > 0
        job.goal = min(job.age + costs.window, job.size)
        return True

    def ask(job, step):
        others = len(present) + len(away) - (job in present)
        while True:
            said = decide(others, len(away), loads[min(upcoming, len(jobs) - 1)], job, step)
            if said >= 0:
                job.stage, job.level, job.goal = "blind", FIRST if said == 0 else said, job.size
            elif said == -1:
                if not predict(job, "cheap", costs.cheap):
                    step = 1
                    continue
            elif said == -2:
                if not predict(job, "full", costs.full):
                    know(job)
            elif said == -3:
                if costs.limit <= job.age:
                    step = 2
                    continue
                job.stage, job.goal = "later", min(costs.limit, job.size)
            else:
                first = min(range(len(stations)), key=lambda k: stations[k])
                stations[first] = max(stations[first], now) + costs.station_time
                away.append((stations[first], job))
                if job in present:
                    present.remove(job)
                return
            if job not in present:
                present.append(job)
            return

    def know(job):
        job.full = True
        job.stage, job.goal = "known", job.size

    while upcoming < len(jobs) or present or away:
        job = min(present, key=lambda job: (job.rank(), job.arrival)) if present else None
        arrival = arrivals[upcoming] if upcoming < len(jobs) else math.inf
        back = min(away, key=lambda pair: pair[0]) if away else (math.inf, None)
        end, speed = math.inf, 0.0
        timed = job is not None and costs.model == "server" and job.stage in ("cheap", "full")
        if job is not None and not timed:
            speed = costs.rate
            if job.stage in ("cheap", "full"):
                cost = costs.cheap if job.stage == "cheap" else costs.full
                speed /= 1 + cost / costs.window
            end = now + (job.goal - job.age) / speed
        elif timed:
            end = now + job.left / costs.rate
        event = min(end, arrival, back[0])
        if job is not None:
            job.age += speed * (event - now)
            if timed:
                job.left -= costs.rate * (event - now)
        now = event
        if event == end:
            if not timed:
                job.age = job.goal
            if job.age == job.size:
                present.remove(job)
                answer[jobs.index(job)] = (now - job.arrival + job.price, job.price, job.full)
            elif job.stage == "full":
                know(job)
            else:
                ask(job, 1 if job.stage == "cheap" else 2)
        elif event == back[0]:
            away.remove(back)
            know(back[1])
            present.append(back[1])
        else:
            upcoming += 1
            ask(jobs[upcoming - 1], 0)
    return answer
