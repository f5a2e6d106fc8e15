// numpy's PCG64 and its ziggurat for the exponential law, inlined, so that the twin draws the same bits.
// The ziggurat's tables are numpy's own: the build makes the local symbols of its libnpyrandom.a visible.
#pragma once
#include <cmath>
#include <cstdint>

extern "C" {
extern const uint64_t ke_double[256];
extern const double we_double[256];
extern const double fe_double[256];
}

struct Pcg64 {
    unsigned __int128 state, increment;

    uint64_t next() {
        constexpr unsigned __int128 multiplier =
            (static_cast<unsigned __int128>(2549297995355413924ULL) << 64) | 4865540595714422341ULL;
        state = state * multiplier + increment;
        const uint64_t high = state >> 64, mixed = high ^ static_cast<uint64_t>(state);
        const unsigned rotation = high >> 58;
        return (mixed >> rotation) | (mixed << ((-rotation) & 63));
    }

    double uniform() { return (next() >> 11) * (1.0 / 9007199254740992.0); }

    double exponential() {
        uint64_t bits = next() >> 3;
        const unsigned layer = bits & 0xff;
        bits >>= 8;
        const double x = bits * we_double[layer];
        if (__builtin_expect(bits < ke_double[layer], 1)) return x;
        return outside(layer, x);
    }

  private:
    __attribute__((noinline)) double outside(unsigned layer, double x) {
        if (layer == 0) return 7.69711747013104972 - std::log1p(-uniform());
        if ((fe_double[layer - 1] - fe_double[layer]) * uniform() + fe_double[layer] < std::exp(-x)) return x;
        return exponential();
    }
};
