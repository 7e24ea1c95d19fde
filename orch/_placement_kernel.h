/* The hot loops of the placement kernel, in C so that gcc can build them for several processors at once.
 *
 * An agent's resources are eight int32 lanes (unused ones 0), so an agent is compared at once whatever R is.
 * An agent's place in an order is one int64: its score in the upper half, its row in the lower. Equal scores
 * therefore go to the lowest row, and no two agents are equal.
 */
#ifndef ORCH_PLACEMENT_KERNEL_H
#define ORCH_PLACEMENT_KERNEL_H

#include <stdint.h>
#include <string.h>

#include "_clones.h"

#define ORCH_LANES 8
#define ORCH_USABLE 2        /* state of an agent that pods may be placed on; 1: not now; 0: no agent in this row */
#define ORCH_DRAINED 3       /* state of an agent that keeps what it runs and takes no more */
#define ORCH_SCORE_BITS 20   /* weights carry this many bits below the score */
#define ORCH_SCORE_MOST 0x0fffffff /* of one lane; eight of them stay below 2^31 */
#define ORCH_SCORE_END 0x7fffffff /* above every score */

/* Half of an agent: what the plainest processor compares at once. Wider ones would be taken apart lane by lane there. */
typedef int32_t orch_half __attribute__((vector_size(16)));
typedef float orch_half_floats __attribute__((vector_size(16)));
typedef int64_t orch_pair __attribute__((vector_size(16)));

/* 1 where every lane of `have` is at least that of `want`. */
static inline __attribute__((always_inline)) int orch_fits(const int32_t *have, const int32_t *want)
{
    orch_half h[2], w[2];
    memcpy(h, have, sizeof h);
    memcpy(w, want, sizeof w);
    orch_pair lacks = (orch_pair)((h[0] < w[0]) | (h[1] < w[1]));
    return (lacks[0] | lacks[1]) == 0;
}

/* As orch_fits, of `have` and `more` together. */
static inline __attribute__((always_inline)) int orch_fits_with(const int32_t *have, const int32_t *more, const int32_t *want)
{
    orch_half h[2], m[2], w[2];
    memcpy(h, have, sizeof h);
    memcpy(m, more, sizeof m);
    memcpy(w, want, sizeof w);
    orch_pair lacks = (orch_pair)((h[0] + m[0] < w[0]) | (h[1] + m[1] < w[1]));
    return (lacks[0] | lacks[1]) == 0;
}

/* Bit d set where lane d of `have` is less than that of `want`. */
static inline __attribute__((always_inline)) unsigned orch_short(const int32_t *have, const int32_t *want)
{
    const orch_half low = {1, 2, 4, 8}, high = {16, 32, 64, 128};
    orch_half h[2], w[2];
    memcpy(h, have, sizeof h);
    memcpy(w, want, sizeof w);
    orch_pair bits = (orch_pair)(((h[0] < w[0]) & low) | ((h[1] < w[1]) & high));
    uint64_t all = (uint64_t)(bits[0] | bits[1]);
    return (unsigned)(all | all >> 32) & 255;
}

/* What is missing of a resource, in 2^-31 parts of what was asked: strictly less where more is free. */
static inline int64_t orch_miss(int32_t have, int32_t want) { return (((int64_t)want - have) << 31) / want; }

/* How many pods of this size an agent holds, at most `cap`. cap >= 0; negative lanes do not occur. */
static inline int64_t orch_times(const int32_t *have, const int32_t *want, int64_t cap)
{
    for (int d = 0; d < ORCH_LANES; d++)
        if (want[d] > 0) {
            int32_t times = have[d] / want[d];
            if (times < cap)
                cap = times;
        }
    return cap;
}

/* Half by half: what is stored in parts and loaded whole has to wait for the parts. */
static inline __attribute__((always_inline)) void orch_charge(int32_t *have, const int32_t *want, int64_t times)
{
    for (int part = 0; part < ORCH_LANES; part += 4) {
        orch_half h, w;
        memcpy(&h, have + part, sizeof h);
        memcpy(&w, want + part, sizeof w);
        h -= w * (int32_t)times; /* of a pod that an agent holds so often: within int32 */
        memcpy(have + part, &h, sizeof h);
    }
}

/* The best-fit score: what is free, each resource in parts of the largest agent's total. Lower is fuller. */
static inline int32_t orch_score(const int32_t *have, const int64_t *weight)
{
    int64_t sum = 0;
    for (int d = 0; d < ORCH_LANES; d++)
        sum += have[d] * weight[d];
    return (int32_t)(sum >> ORCH_SCORE_BITS);
}

/* The spread score: what is used, each resource in parts of the agent's own total. Lower is emptier. */
static inline int32_t orch_spread_score(const int32_t *have, const int32_t *total)
{
    int64_t sum = 0;
    for (int d = 0; d < ORCH_LANES; d++)
        if (total[d] > 0)
            sum += (int64_t)have[d] * ORCH_SCORE_MOST / total[d];
    return (int32_t)(INT32_MAX - sum);
}

static inline int64_t orch_place(int32_t score, int64_t row) { return ((int64_t)score << 32) | row; }
static inline int64_t orch_row(int64_t place) { return place & 0xffffffff; }

/* First row in [from, to) whose agent is usable and holds the pod; `to` if none. */
ORCH_CLONES
static int64_t orch_next_row(int64_t from, int64_t to, const int32_t *free_, const uint8_t *state,
                             const int32_t *want, const uint8_t *allowed)
{
    for (int64_t row = from; row < to; row++)
        if (orch_fits(free_ + ORCH_LANES * row, want) && state[row] == ORCH_USABLE
            && (allowed == NULL || allowed[row]))
            return row;
    return to;
}

/* Sort a few places ascending, by insertion: quick where they nearly are in order. */
static inline void orch_sort_few(int64_t *places, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        int64_t place = places[i], j = i;
        for (; j > 0 && places[j - 1] > place; j--)
            places[j] = places[j - 1];
        places[j] = place;
    }
}

/* Sort places (all >= 0) ascending. `spare` has room for as many. By insertion for a few, else radix by byte. */
static void orch_sort(int64_t *places, int64_t *spare, int64_t count)
{
    if (count <= 128) {
        orch_sort_few(places, count);
        return;
    }
    int64_t bins[8][256];
    memset(bins, 0, sizeof bins);
    for (int64_t i = 0; i < count; i++)
        for (int b = 0; b < 8; b++)
            bins[b][(places[i] >> (8 * b)) & 255]++;
    int64_t *from = places, *to = spare;
    for (int b = 0; b < 8; b++) {
        int64_t *bin = bins[b];
        if (bin[(from[0] >> (8 * b)) & 255] == count)
            continue; /* one value only: nothing to move */
        int64_t start = 0;
        for (int v = 0; v < 256; v++) {
            int64_t size = bin[v];
            bin[v] = start;
            start += size;
        }
        for (int64_t i = 0; i < count; i++)
            to[bin[(from[i] >> (8 * b)) & 255]++] = from[i];
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != places)
        memcpy(places, from, (size_t)count * sizeof *places);
}

/* A heap of places, the least on top: put heap[i] where it belongs. */
static inline void orch_sift(int64_t *heap, int64_t count, int64_t i)
{
    int64_t place = heap[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= count)
            break;
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= place)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = place;
}

#endif
