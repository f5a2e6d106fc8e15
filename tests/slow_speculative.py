"""The slow, obvious twin of the kernel of speculative decoding: plain Python, with lists of requests."""

import math

from openqueues.models.llm.speculative import verify_ms

MASK = (1 << 64) - 1


def uniform(seed, request, position):
    """splitmix64's output of a number made of the three."""
    z = (seed + request * 0x9E3779B97F4A7C15 + position * 0xD1B54A32D192ED03) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 11) / 2**53


class Server:
    """All that the loop knows; `decide(candidate)` scores a dict of the columns of a policy."""

    def __init__(self, requests, hardware, ratios, alpha, predicted, decide, own, max_batch, most, seed, least, cut):
        self.arrival = [1000 * t for t in requests.arrival_s]
        self.prompt, self.output = requests.input_tokens.tolist(), requests.output_tokens.tolist()
        self.hardware, self.ratios, self.decide = hardware, ratios, decide
        self.alpha, self.predicted = alpha, predicted
        self.own, self.max_batch, self.most, self.seed, self.least, self.cut = own, max_batch, most, seed, least, cut
        n = len(self.arrival)
        self.made, self.plan = [0] * n, [None] * n
        self.tried = [[[0, 0] for _ in ratios] for _ in range(n)]
        self.first, self.finish = [math.nan] * n, [math.nan] * n

    def chance(self, what, i, m):
        if what in ("predicted", "true"):
            return (self.predicted if what == "predicted" else self.alpha)[i][m]
        hits, tries = (sum(one[m][k] for one in self.tried) for k in (0, 1))
        seen = (hits + 7.2) / (tries + 8)
        return seen if what == "seen" else (self.tried[i][m][0] + 8 * seen) / (self.tried[i][m][1] + 8)

    def depth(self, i, m, g, least):
        """Tokens that request i drafts when g are asked for."""
        return max(j for j in range(g + 1) if j == 0 or self.chance(self.cut, i, m) ** j >= least)

    def candidates(self, who, waiting, running, overlaps, least):
        """(score, model, g, drafting ms, price) of each candidate."""
        resident = sum(self.prompt[i] + self.made[i] for i in who)
        for m, ratio in enumerate(self.ratios):
            for g in range(self.most + 1):
                depths = [self.depth(i, m, g, least) for i in who]
                if (g == 0 and m > 0) or (g > 0 and max(depths) < g):
                    continue
                drafting = 0.0
                for j in range(1, g + 1):
                    users = sum(depth >= j for depth in depths)
                    drafting += ratio * self.hardware.step_ms(0, 0, users, resident * users / len(who))
                tokens = len(who) + sum(depths)
                checking = verify_ms(self.hardware, len(who), tokens, resident)
                time = max(drafting, checking) if overlaps else drafting + checking
                gains = {
                    what: sum(
                        sum(self.chance(what, i, m) ** j for j in range(depth + 1))
                        for i, depth in zip(who, depths, strict=True)
                    )
                    for what in ("predicted", "seen", "own", "true")
                }
                column = {f"tokens_{what}": gain for what, gain in gains.items()} | {
                    "g": g, "draft": m, "batch": len(who), "running": running, "waiting": waiting, "time_ms": time,
                    "plain_ms": verify_ms(self.hardware, len(who), len(who), resident),
                }  # fmt: skip
                more = verify_ms(self.hardware, len(who), tokens + len(who), resident) - checking
                yield self.decide(column), m, g, drafting, gains[self.cut] / time * more / len(who)

    def choose(self, who, waiting, running, overlaps):
        """Set the plan of each; returns the time of drafting."""

        def best(least):
            found = None
            for one in self.candidates(who, waiting, running, overlaps, least):
                if found is None or one[0] > found[0]:
                    found = one
            return (*found, least)

        found = best(max(self.least, 0.0))
        if self.least < 0 and found[4] > 0:
            other = best(min(found[4], 1.0))
            found = other if other[0] > found[0] else found
        _, m, g, drafting, _, least = found
        for i in who:
            self.plan[i] = (m, self.depth(i, m, g, least))
        return drafting

    def verify(self, i):
        m, depth = self.plan[i]
        right = 0
        while right < depth and uniform(self.seed, i, self.made[i] + right) < self.alpha[i][m]:
            right += 1
        self.tried[i][m][0] += right
        self.tried[i][m][1] += right + (right < depth)
        self.made[i] = min(self.made[i] + right + 1, self.output[i])

    def run(self):
        n = len(self.arrival)
        now, target, draft = self.arrival[0], None, None  # (end, what, requests) of what a server does
        waiting, need, ready = list(range(n)), [], []
        running = 0
        while any(math.isnan(t) for t in self.finish):
            if target and target[0] <= now:
                _, what, who = target
                target = None
                for i in who:
                    if what == "prompt":
                        self.first[i], self.made[i] = now, 1
                    else:
                        self.verify(i)
                    if self.made[i] == self.output[i]:
                        self.finish[i] = now
                        running -= 1
                    else:
                        need.append(i)
            if draft and draft[0] <= now:
                ready += draft[2]
                draft = None
            arrived = [i for i in waiting if self.arrival[i] <= now]
            if not target and arrived and running < self.max_batch:
                who = []
                for i in arrived[: self.max_batch - running]:
                    if who and sum(self.prompt[j] for j in who) + self.prompt[i] > 4096:
                        break
                    who.append(i)
                waiting = [i for i in waiting if i not in who]
                arrived = [i for i in arrived if i not in who]
                running += len(who)
                new, squares = sum(self.prompt[i] for i in who), sum(self.prompt[i] ** 2 for i in who)
                target = (now + self.hardware.step_ms(new, squares, 0, 0), "prompt", who)
            while need and not draft and (self.own or not target):
                group = need[: math.ceil(running / self.own)] if self.own else list(need)
                need = need[len(group) :]
                overlaps = bool(self.own) and running > len(group)
                ms = self.choose(group, len(arrived), running, overlaps)
                if self.own and ms > 0:
                    draft = (now + ms, "draft", group)
                elif self.own:
                    ready += group
                else:
                    target = self.step(now + ms, group)
            if not target and ready:
                target, ready = self.step(now, ready), []
            ends = [one[0] for one in (target, draft) if one]
            if not target and waiting:
                ends.append(max(self.arrival[waiting[0]], now) if self.arrival[waiting[0]] > now else math.inf)
            if ends:
                now = max(now, min(ends))
        return [t / 1000 for t in self.first], [t / 1000 for t in self.finish]

    def step(self, begin, who):
        tokens = sum(self.plan[i][1] + 1 for i in who)
        resident = sum(self.prompt[i] + self.made[i] for i in who)
        return (begin + verify_ms(self.hardware, len(who), tokens, resident), "verify", who)
