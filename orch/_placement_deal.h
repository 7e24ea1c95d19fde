/* From the ids of shapes, pod by pod, to a count of each; and from agents by shape back to the pods' own order. */
#ifndef ORCH_PLACEMENT_DEAL_H
#define ORCH_PLACEMENT_DEAL_H
#include "_placement_kernel.h"

#define ORCH_COUNTERS 4     /* of a shape, taken in turn: one would wait for itself where a shape is popular */
#define ORCH_COUNT_PART 4096 /* ids that are looked at, and then counted while they are near */
#define ORCH_DEAL_AHEAD 16  /* a line of agents: each shape has a sequence of its own, more than are fetched by themselves */

/* Adds up ids in counts[ORCH_COUNTERS][shapes]. Returns 0, or -1 where an id is not in [0, shapes). */
ORCH_CLONES
static int orch_count(const int32_t *shape, int64_t pods, int64_t shapes, int32_t *counts)
{
    int32_t *c0 = counts, *c1 = c0 + shapes, *c2 = c1 + shapes, *c3 = c2 + shapes;
    for (int64_t from = 0; from < pods; from += ORCH_COUNT_PART) {
        int64_t n = pods - from < ORCH_COUNT_PART ? pods - from : ORCH_COUNT_PART, i = 0;
        const int32_t *s = shape + from;
        uint32_t most = 0;
        for (int64_t k = 0; k < n; k++)
            most = (uint32_t)s[k] > most ? (uint32_t)s[k] : most;
        if (most >= (uint64_t)shapes)
            return -1;
        for (; i + ORCH_COUNTERS <= n; i += ORCH_COUNTERS) {
            c0[s[i]]++;
            c1[s[i + 1]]++;
            c2[s[i + 2]]++;
            c3[s[i + 3]]++;
        }
        for (; i < n; i++)
            c0[s[i]]++;
    }
    return 0;
}

/* out[i] = the next of row[next[shape[i]]:], pod by pod. Changes next. */
static void orch_deal(const int32_t *restrict shape, int64_t pods, int64_t *restrict next, const int32_t *restrict row,
                      int32_t *restrict out)
{
    for (int64_t i = 0; i < pods; i++) {
        int64_t at = next[shape[i]]++;
        __builtin_prefetch(row + at + ORCH_DEAL_AHEAD);
        out[i] = row[at];
    }
}

#endif
