/* Why a pod does not fit: each agent is charged to its first failing predicate, and the nearest agent is kept.
 *
 * One pass over all agents' rows. See `orch.placement.Why` for the words; the columns of a why are named in
 * _placement.pyx, which gives them to Python.
 */
#ifndef ORCH_PLACEMENT_WHY_H
#define ORCH_PLACEMENT_WHY_H
#include "_placement_failed.h"

/* Codes shared with placement/reason.py, which gives them names. */
enum orch_reason {
    ORCH_PLACED = 0,
    ORCH_NO_AGENTS = 1,
    ORCH_NOT_USABLE = 2,
    ORCH_CONSTRAINT = 3,
    ORCH_GANG = 4,
    ORCH_HEADROOM = 5,
    ORCH_QUOTA = 6,
    ORCH_STALE_SESSION = 7,
    ORCH_UNKNOWN_AGENT = 8,
    ORCH_DRAINING = 10,
    ORCH_RESERVED = 11,
    ORCH_TOO_FEW = 16 /* + the resource's column */
};

/* One row of the why matrix: int32[WHY_WIDTH]. */
enum orch_why {
    WHY_ROW,          /* demand row */
    WHY_AGENTS,
    WHY_FEASIBLE,     /* agents that hold one such pod now */
    WHY_EMPTY,        /* agents that would hold one if nothing ran on them, whatever else speaks against them */
    WHY_ROOM,         /* pods that fit at once now, counted up to the gang's size */
    WHY_NEAREST,      /* agent row, -1: none */
    WHY_PREDICATE,    /* what the nearest fails by */
    WHY_NEAREST_FREE,
    WHY_REASON,
    WHY_RULED,        /* + predicate */
    WHY_ONLY = WHY_RULED + P_COUNT, /* + predicate: an agent that fails by nothing else, -1: none; of a resource that with most */
    WHY_ONLY_FREE = WHY_ONLY + P_COUNT, /* + resource: how much of it that agent has free */
    WHY_MOST = WHY_ONLY_FREE + ORCH_LANES, /* + resource: most free on an agent ruled out by it, -1: none was */
    WHY_TOTAL = WHY_MOST + ORCH_LANES,     /* + resource: largest total of any agent */
    WHY_SHORT = WHY_TOTAL + ORCH_LANES,    /* the resource that the headroom is shortest of, -1: none asked */
    WHY_LEFT,         /* how much of it is left, kept within int32 */
    WHY_WIDTH
};

/* The nearest agent so far: by failing predicates, what it misses, row. Agents that fail by one predicate are kept apart: of
 * each resource the most that such an agent has free, and the first row that has it; of each other predicate the first row. */
typedef struct {
    int failing;     /* the fewest failures seen */
    unsigned failed; /* which they are of `row` */
    int64_t miss, row;
    int32_t most[ORCH_LANES];
    int32_t only[P_COUNT];
} orch_near;

static inline void orch_near_start(orch_near *near)
{
    near->failing = 0x7fffffff;
    near->row = -1;
    memset(near->most, -1, sizeof near->most);
    memset(near->only, -1, sizeof near->only);
}

/* Of agents that fail by one predicate alone the nearest: of those that lack a resource, that with the most of it. Nothing is
 * divided until all have been seen. `alone`: which fail by one. */
static inline __attribute__((always_inline)) void orch_near_alone(orch_near *near, const orch_part *part, uint64_t alone,
                                                                  const int32_t *free_)
{
    near->failing = 1;
    for (int p = 0; p < P_RESOURCE; p++)
        if (near->only[p] < 0 && (part->failed[p] & alone))
            near->only[p] = (int32_t)part->first + __builtin_ctzll(part->failed[p] & alone);
    for (int d = 0; d < ORCH_LANES; d++)
        for (uint64_t bits = part->failed[P_RESOURCE + d] & alone & part->nearer[d]; bits; bits &= bits - 1) {
            int64_t row = part->first + __builtin_ctzll(bits);
            if (free_[ORCH_LANES * row + d] > near->most[d]) {
                near->most[d] = free_[ORCH_LANES * row + d];
                near->only[P_RESOURCE + d] = (int32_t)row;
            }
        }
}

/* The nearest where each agent fails by several: the fewest first, then what it misses of all of them. One more pass. */
static void orch_near_several(orch_near *near, orch_question *q)
{
    const orch_agents *a = q->agents;
    q->held = 0;
    for (int64_t row = 0; row < a->rows; row++) {
        if (a->state[row] == 0)
            continue;
        unsigned failed = orch_failed(q, row);
        int failing = __builtin_popcount(failed);
        if (failing == 0 || failing > near->failing)
            continue;
        int64_t miss = 0;
        for (int d = 0; d < ORCH_LANES; d++)
            if (failed >> (P_RESOURCE + d) & 1)
                miss += orch_miss(a->free_[ORCH_LANES * row + d], q->want[d]);
        if (failing < near->failing || near->row < 0 || miss < near->miss) {
            near->failing = failing;
            near->failed = failed;
            near->miss = miss;
            near->row = row;
        }
    }
}

/* The nearest of those kept, and what it lacks the largest part of. */
static void orch_nearest(orch_near *near, const orch_agents *a, const int32_t *want, int32_t *why)
{
    for (int p = 0; near->failing == 1 && p < P_COUNT; p++) {
        why[WHY_ONLY + p] = near->only[p];
        if (near->only[p] < 0)
            continue;
        int64_t miss = p < P_RESOURCE ? 0 : orch_miss(near->most[p - P_RESOURCE], want[p - P_RESOURCE]);
        if (near->row < 0 || miss < near->miss || (miss == near->miss && near->only[p] < near->row)) {
            near->miss = miss;
            near->row = near->only[p];
            near->failed = 1u << p;
        }
    }
    if (near->row < 0)
        return;
    const int32_t *have = a->free_ + ORCH_LANES * near->row;
    int64_t worst = -1;
    why[WHY_NEAREST] = (int32_t)near->row;
    why[WHY_PREDICATE] = __builtin_ctz(near->failed);
    for (int d = 0; d < ORCH_LANES; d++) {
        why[WHY_ONLY_FREE + d] = near->most[d];
        if (near->failed >> (P_RESOURCE + d) & 1 && orch_miss(have[d], want[d]) > worst) {
            worst = orch_miss(have[d], want[d]);
            why[WHY_PREDICATE] = P_RESOURCE + d;
            why[WHY_NEAREST_FREE] = have[d];
        }
    }
}

/* How many such pods all agents together hold now, at most cap. No order matters: the pods are equal. */
static int64_t orch_room(const orch_agents *a, const int32_t *want, const uint8_t *allowed, int64_t cap)
{
    int64_t room = 0;
    for (int64_t row = 0; room < cap; row++) {
        row = orch_next_row(row, a->rows, a->free_, a->state, want, allowed);
        if (row >= a->rows)
            break;
        room += orch_times(a->free_ + ORCH_LANES * row, want, cap - room);
    }
    return room;
}

/* The one code: the predicate that ruled out the most agents, the first of equals. PLACED where the agents hold it. */
static void orch_main_reason(int32_t gang, int32_t *why)
{
    int32_t most = 0;
    if (why[WHY_AGENTS] == 0) {
        why[WHY_REASON] = ORCH_NO_AGENTS;
        return;
    }
    if (why[WHY_FEASIBLE] > 0) {
        why[WHY_REASON] = why[WHY_ROOM] < gang ? ORCH_GANG : ORCH_PLACED;
        return;
    }
    static const int32_t reasons[] = {ORCH_NOT_USABLE, ORCH_DRAINING, ORCH_RESERVED, ORCH_CONSTRAINT};
    for (int p = 0; p < P_COUNT; p++)
        if (why[WHY_RULED + p] > most) {
            most = why[WHY_RULED + p];
            why[WHY_REASON] = p < P_RULE ? reasons[p] : p < P_RESOURCE ? ORCH_CONSTRAINT : ORCH_TOO_FEW + p - P_RESOURCE;
        }
}

/* What a pass over all agents counts. */
typedef struct {
    int32_t agents, failing; /* all; those that fail by anything */
    int32_t ruled[P_COUNT];  /* by the first predicate that an agent fails */
    int32_t most[ORCH_LANES]; /* of a resource, the most free on an agent that is ruled out by it */
} orch_tally;

/* Counts the agents of a part. */
static inline __attribute__((always_inline)) void orch_count_part(orch_tally *tally, orch_near *near, const orch_part *part,
                                                                  const int32_t *free_)
{
    uint64_t failed = 0, twice = 0;
    for (int p = 0; p < P_COUNT; p++) {
        uint64_t bits = part->failed[p] & part->here, first = bits & ~failed;
        tally->ruled[p] += __builtin_popcountll(first);
        twice |= bits & failed;
        failed |= bits;
        for (first &= p < P_RESOURCE ? 0 : part->above[p - P_RESOURCE]; first; first &= first - 1) {
            int32_t have = free_[ORCH_LANES * (part->first + __builtin_ctzll(first)) + p - P_RESOURCE];
            if (have > tally->most[p - P_RESOURCE])
                tally->most[p - P_RESOURCE] = have;
        }
    }
    tally->agents += __builtin_popcountll(part->here);
    tally->failing += __builtin_popcountll(failed);
    if (failed & ~twice)
        orch_near_alone(near, part, failed & ~twice, free_);
}

/* How many agents would hold the pod if nothing ran on them. */
static int32_t orch_empty(const orch_agents *a, const int32_t *want, int32_t agents)
{
    static const int32_t nothing[ORCH_LANES];
    if (memcmp(want, nothing, sizeof nothing) == 0)
        return agents; /* rows without an agent would hold it as well */
    return orch_scan_by.holding(a->total, a->dims, a->rows, want);
}

/* Fill why[WHY_WIDTH] for one shape. allowed: a flag for each agent, or NULL. rules: refreshed, or NULL. room: how many of the
 * gang fit at once, -1: to be counted. O(agents). */
ORCH_CLONES
static void orch_explain(const orch_agents *a, const int32_t *want, const uint8_t *allowed, const orch_rules *rules,
                         int32_t gang, int64_t room, int32_t *why)
{
    orch_near near;
    orch_tally tally;
    orch_part part;
    orch_question question = {a, want, allowed, rules, 0};
    orch_near_start(&near);
    memset(&tally, 0, sizeof tally);
    memset(tally.most, -1, sizeof tally.most);
    for (int64_t first = 0; first < a->rows; first += 64) {
        orch_ask_part(&question, first, tally.most, near.most, &part);
        orch_count_part(&tally, &near, &part, a->free_);
    }
    if (near.failing != 1 && tally.failing > 0)
        orch_near_several(&near, &question);
    memset(why, 0, WHY_WIDTH * sizeof *why);
    memset(why + WHY_ONLY, -1, (P_COUNT + ORCH_LANES) * sizeof *why);
    why[WHY_NEAREST] = why[WHY_SHORT] = -1;
    why[WHY_AGENTS] = tally.agents;
    why[WHY_FEASIBLE] = tally.agents - tally.failing;
    why[WHY_EMPTY] = orch_empty(a, want, tally.agents);
    memcpy(why + WHY_RULED, tally.ruled, sizeof tally.ruled);
    memcpy(why + WHY_MOST, tally.most, sizeof tally.most);
    memcpy(why + WHY_TOTAL, a->largest, ORCH_LANES * sizeof *why);
    orch_nearest(&near, a, want, why);
    if (why[WHY_FEASIBLE] > 0)
        why[WHY_ROOM] = (int32_t)(room >= 0 ? room : orch_room(a, want, allowed, gang));
    orch_main_reason(gang, why);
}

/* The agents hold the pod, the group may not have it: which resource the headroom holds the fewest such pods of. Ties to the
 * first. */
static void orch_explain_headroom(const int32_t *want, const int64_t *left, int32_t *why)
{
    int64_t least = INT64_MAX;
    why[WHY_REASON] = ORCH_HEADROOM;
    for (int d = 0; d < ORCH_LANES; d++) {
        if (want[d] == 0)
            continue;
        int64_t times = left[d] > 0 ? left[d] / want[d] : 0;
        if (times < least) {
            least = times;
            why[WHY_SHORT] = d;
            why[WHY_LEFT] = (int32_t)(left[d] > INT32_MAX ? INT32_MAX : left[d] < -INT32_MAX ? -INT32_MAX : left[d]);
        }
    }
}

#endif
