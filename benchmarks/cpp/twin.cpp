// The single-server simulation of openqueues.models.queues in C++: the same random numbers, the same heap, the
// same metrics. It exists to be timed against.
//
//   twin POLICY LOAD JOBS WARMUP <4 words: state and increment of PCG64, high half first> x 3 (gaps, sizes, predictions)
//
// prints one line of JSON: cpu (seconds of the simulation), and the metrics that `simulate` returns.
#include "random.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr double kNever = 1e300;  // finite: the build lets the compiler assume that there are no infinities

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

// Sums and a histogram whose bins are the leading bits of the numbers: 256 an octave, from 2^-40 to 2^60.
struct Tally {
    static constexpr int kShift = 52 - 8;
    static constexpr int64_t kLowest = (1023LL - 40) << 8, kBins = 100 << 8;
    double count = 0, sum = 0, square = 0, slowdown = 0;
    std::vector<int64_t> histogram = std::vector<int64_t>(kBins);

    void add(double response, double size) {
        count += 1;
        sum += response;
        square += response * response;
        slowdown += response / size;
        int64_t bits;
        std::memcpy(&bits, &response, sizeof bits);
        ++histogram[std::clamp<int64_t>((bits >> kShift) - kLowest, 0, kBins - 1)];
    }

    double quantile(double q) const {
        int64_t total = 0;
        for (int64_t n : histogram) total += n;
        int64_t below = 0, bin = 0;
        while (below + histogram[bin] < q * total) below += histogram[bin++];
        const int64_t edges[2] = {(bin + kLowest) << kShift, (bin + 1 + kLowest) << kShift};
        double low, high;
        std::memcpy(&low, &edges[0], sizeof low);
        std::memcpy(&high, &edges[1], sizeof high);
        return low + (high - low) * (q * total - below) / histogram[bin];
    }
};

struct Input {
    Pcg64 gaps, sizes, predictions;
    double load;
    int64_t jobs, warmup;
};

struct Metrics {
    Tally tally;
    double number = 0, work = 0;    // averages over time
    double left = 0, square = 0;    // work at the last arrival, sum of squared sizes: what "unstable" is told by
};

// Area under the work in the system while it falls from one level to the next.
double area(double level, double next) { return 0.5 * (level - next) * (level + next); }

// First come first served: Lindley's recursion.
Metrics fcfs(Input in) {
    Metrics out;
    const double scale = 1.0 / in.load;
    double now = 0, work = 0, area_number = 0, area_work = 0, started = 0;
    auto serve = [&](int64_t n, auto counted) {
        for (int64_t i = 0; i < n; ++i) {
            const double gap = in.gaps.exponential() * scale, size = in.sizes.exponential();
            const double left = std::max(work - gap, 0.0);
            area_work += area(work, left);
            now += gap;
            work = left + size;
            area_number += work;
            out.square += size * size;
            if (counted.value) out.tally.add(work, size);
        }
    };
    serve(in.warmup, std::false_type{});
    started = now;
    const double number_before = area_number, work_before = area_work;
    serve(in.jobs, std::true_type{});
    out.number = (area_number - number_before) / (now - started);
    out.work = (area_work - work_before) / (now - started);
    out.left = work;
    return out;
}

struct Job {
    double rank, arrival, size, predicted, age;
    bool before(const Job& other) const {
        return rank < other.rank || (rank == other.rank && arrival < other.arrival);
    }
};

// The waiting jobs: a binary heap, lowest rank first, ties in order of arrival.
struct Heap {
    std::vector<Job> jobs = std::vector<Job>(1 << 10);
    size_t size = 0;

    void push(const Job& job) {
        if (size == jobs.size()) jobs.resize(2 * size);
        size_t i = size++;
        while (i > 0) {
            const size_t parent = (i - 1) / 2;
            if (!job.before(jobs[parent])) break;
            jobs[i] = jobs[parent];
            i = parent;
        }
        jobs[i] = job;
    }

    Job pop() {
        const Job first = jobs[0], last = jobs[--size];
        size_t i = 0, child = 1;
        while (child < size) {
            if (child + 1 < size && jobs[child + 1].before(jobs[child])) ++child;
            if (!jobs[child].before(last)) break;
            jobs[i] = jobs[child];
            i = child;
            child = 2 * i + 1;
        }
        jobs[i] = last;
        return first;
    }
};

struct Srpt {
    static constexpr bool predicts = false;
    static double rank(const Job& job, double age) { return job.size - age; }
};

struct Sprpt {
    static constexpr bool predicts = true;
    static double rank(const Job& job, double age) { return job.predicted - age; }
};

template <class Policy>
Metrics ranked(Input in) {
    Metrics out;
    const double scale = 1.0 / in.load;
    Heap waiting;
    Job running{};
    bool busy = false;
    double now = 0, since = 0, end = kNever, work = 0, area_number = 0, area_work = 0, started = kNever;

    auto complete = [&] {
        if (running.arrival > started) out.tally.add(end - running.arrival, running.size);
        if (waiting.size == 0) {
            busy = false;
            work = 0;
            end = kNever;
            return;
        }
        running = waiting.pop();
        const double left = running.size - running.age;
        work = waiting.size > 0 ? work - left : 0.0;
        since = end;
        end += left;
    };
    auto serve = [&](int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
            const double gap = in.gaps.exponential() * scale, size = in.sizes.exponential();
            const double predicted = Policy::predicts ? size * in.predictions.exponential() : size;
            out.square += size * size;
            const double arrival = now + gap;
            double last = now;
            if (busy) {
                const double level = work + (end - now);
                area_work += area(level, std::max(level - gap, 0.0));
            }
            while (end <= arrival) {
                area_number += (waiting.size + 1) * (end - last);
                last = end;
                complete();
            }
            now = arrival;
            Job job{0, arrival, size, predicted, 0};
            if (!busy) {
                busy = true;
                running = job;
                since = now;
                end = now + size;
                continue;
            }
            area_number += (waiting.size + 1) * (now - last);
            job.rank = Policy::rank(job, 0);
            const double age = running.age + (now - since);
            running.rank = Policy::rank(running, age);
            if (job.rank < running.rank) {
                running.age = age;
                waiting.push(running);
                work += end - now;
                running = job;
                since = now;
                end = now + size;
            } else {
                waiting.push(job);
                work += size;
            }
        }
    };
    serve(in.warmup);
    started = now;
    const double number_before = area_number, work_before = area_work;
    serve(in.jobs);
    out.number = (area_number - number_before) / (now - started);
    out.work = (area_work - work_before) / (now - started);
    out.left = work + (busy ? end - now : 0.0);
    while (busy) complete();
    return out;
}

Pcg64 stream(char** words) {
    uint64_t w[4];
    for (int i = 0; i < 4; ++i) w[i] = std::strtoull(words[i], nullptr, 10);
    return {(static_cast<unsigned __int128>(w[0]) << 64) | w[1], (static_cast<unsigned __int128>(w[2]) << 64) | w[3]};
}

}  // namespace

int main(int count, char** words) {
    if (count != 17) {
        std::fprintf(stderr, "usage: twin fcfs|srpt|sprpt LOAD JOBS WARMUP and 12 words of state\n");
        return 2;
    }
    const std::string policy = words[1];
    const Input in{stream(words + 5), stream(words + 9), stream(words + 13), std::atof(words[2]),
                   std::atoll(words[3]), std::atoll(words[4])};
    const double began = cpu_seconds();
    const Metrics out = policy == "fcfs" ? fcfs(in) : policy == "srpt" ? ranked<Srpt>(in) : ranked<Sprpt>(in);
    const Tally& t = out.tally;
    const double quantiles[4] = {t.quantile(0.5), t.quantile(0.9), t.quantile(0.99), t.quantile(0.999)};
    const bool unstable = out.left > 3.0 * std::sqrt(out.square);
    const double seconds = cpu_seconds() - began;
    std::printf(
        "{\"cpu\": %.9g, \"mean_response\": %.17g, \"second_moment\": %.17g, \"p50\": %.17g, \"p90\": %.17g, "
        "\"p99\": %.17g, \"p999\": %.17g, \"mean_slowdown\": %.17g, \"mean_number\": %.17g, \"mean_work\": %.17g, "
        "\"unstable\": %d}\n",
        seconds, t.sum / t.count, t.square / t.count, quantiles[0], quantiles[1], quantiles[2], quantiles[3],
        t.slowdown / t.count, out.number, out.work, unstable);
    return 0;
}
