/* Why a pod does not fit: each agent is charged to its first failing predicate, and the nearest agent is kept.
 *
 * One pass over all agents' rows. See `orch.placement.Why` for the words; the columns of a why are named in
 * _placement.pyx, which gives them to Python.
 */
#ifndef ORCH_PLACEMENT_WHY_H
#define ORCH_PLACEMENT_WHY_H
#include "_placement_rules.h"

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

/* In the order in which they are asked: an agent is charged to the first that it fails. */
enum orch_predicate {
    P_USABLE,
    P_DRAINING,
    P_RESERVED,
    P_CONSTRAINT, /* the mask */
    P_RULE,       /* + rule of the shape */
    P_RESOURCE = P_RULE + ORCH_RULES_MOST, /* + resource */
    P_COUNT = P_RESOURCE + ORCH_LANES
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

/* The agents' columns. Rows without an agent have state 0. */
typedef struct {
    const int32_t *free_, *total; /* [rows][ORCH_LANES] */
    const uint8_t *state;
    int64_t rows;
    const int32_t *largest;       /* of each resource, the largest total of any agent */
    const int32_t *held_rows, *held; /* set aside for others and not in free_: rows, ascending; [held_count][ORCH_LANES] */
    int64_t held_count;
} orch_agents;

/* The nearest agent so far: by failing predicates, what it misses, row. Agents that fail by one predicate are kept apart: of
 * each resource the most that such an agent has free, and the first row that has it; of each other predicate the first row. */
typedef struct {
    int failing;     /* the fewest failures seen */
    int row_failing; /* failures of `row` */
    unsigned failed; /* which they are */
    int64_t miss, row;
    int32_t most[ORCH_LANES];
    int32_t only[P_COUNT];
} orch_near;

static inline void orch_near_start(orch_near *near)
{
    near->failing = near->row_failing = 0x7fffffff;
    near->row = -1;
    memset(near->most, -1, sizeof near->most);
    memset(near->only, -1, sizeof near->only);
}

/* Keep the agent if it is the nearest so far. Of agents that lack one resource the one with the most of it is the nearest, so
 * for these, the usual case, nothing is divided until all have been seen. */
static inline void orch_nearer(orch_near *near, int64_t row, const int32_t *have, const int32_t *want, unsigned failed)
{
    if (near->failing == 1 && failed & (failed - 1))
        return; /* the usual case: one fails by less, and this by more */
    int failing = __builtin_popcount(failed);
    int64_t miss = 0;
    if (failing > near->failing)
        return;
    if (failing == 1) {
        int p = __builtin_ctz(failed), d = p - P_RESOURCE;
        near->failing = 1;
        if (d < 0 ? near->only[p] < 0 : have[d] > near->most[d]) {
            near->only[p] = (int32_t)row;
            if (d >= 0)
                near->most[d] = have[d];
        }
        return;
    }
    for (int d = 0; d < ORCH_LANES; d++)
        if (failed >> (P_RESOURCE + d) & 1)
            miss += orch_miss(have[d], want[d]);
    if (failing < near->failing || near->row < 0 || miss < near->miss) {
        near->failing = near->row_failing = failing;
        near->failed = failed;
        near->miss = miss;
        near->row = row;
    }
}

/* The nearest of those kept, and what it lacks the largest part of. */
static void orch_nearest(orch_near *near, const orch_agents *a, const int32_t *want, int32_t *why)
{
    if (near->row >= 0 && near->row_failing > near->failing)
        near->row = -1;
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

/* The predicates that an agent fails, one bit each, in their order. `held`: what is set aside on it, or NULL. */
static inline unsigned orch_failed(const orch_agents *a, int64_t row, const int32_t *want, const uint8_t *allowed,
                                   const orch_rules *rules, const int32_t *held)
{
    const int32_t *have = a->free_ + ORCH_LANES * row;
    unsigned lacks = orch_short(have, want), failed = 0;
    if (a->state[row] != ORCH_USABLE)
        failed = 1u << (a->state[row] == ORCH_DRAINED ? P_DRAINING : P_USABLE);
    if (lacks && held != NULL) {
        int32_t whole[ORCH_LANES];
        for (int d = 0; d < ORCH_LANES; d++)
            whole[d] = have[d] + held[d];
        if (orch_fits(whole, want)) {
            failed |= 1u << P_RESERVED;
            lacks = 0;
        }
    }
    if (allowed != NULL && !allowed[row])
        failed |= 1u << P_CONSTRAINT;
    if (rules != NULL)
        failed |= orch_rules_failed(rules, row) << P_RULE;
    return failed | lacks << P_RESOURCE;
}

/* Fill why[WHY_WIDTH] for one shape. allowed: a flag for each agent, or NULL. rules: refreshed, or NULL. room: how many of the
 * gang fit at once, -1: to be counted. O(agents). */
ORCH_CLONES
static void orch_explain(const orch_agents *a, const int32_t *want, const uint8_t *allowed, const orch_rules *rules,
                         int32_t gang, int64_t room, int32_t *why)
{
    orch_near near;
    int64_t next = 0; /* of the rows with something set aside */
    orch_near_start(&near);
    memset(why, 0, WHY_WIDTH * sizeof *why);
    memset(why + WHY_ONLY, -1, (P_COUNT + ORCH_LANES) * sizeof *why);
    why[WHY_NEAREST] = why[WHY_SHORT] = -1;
    for (int d = 0; d < ORCH_LANES; d++) {
        why[WHY_MOST + d] = -1;
        why[WHY_TOTAL + d] = a->largest[d];
    }
    int32_t agents = 0, feasible = 0, empty = 0, ruled[P_COUNT] = {0};
    for (int64_t row = 0; row < a->rows; row++) {
        if (a->state[row] == 0)
            continue;
        const int32_t *have = a->free_ + ORCH_LANES * row;
        while (next < a->held_count && a->held_rows[next] < row)
            next++;
        const int32_t *held = next < a->held_count && a->held_rows[next] == row ? a->held + ORCH_LANES * next : NULL;
        agents++;
        empty += orch_fits(a->total + ORCH_LANES * row, want);
        unsigned failed = orch_failed(a, row, want, allowed, rules, held);
        if (failed == 0) {
            feasible++;
            continue;
        }
        int first = __builtin_ctz(failed), d = first - P_RESOURCE;
        ruled[first]++;
        if (d >= 0 && have[d] > why[WHY_MOST + d])
            why[WHY_MOST + d] = have[d];
        orch_nearer(&near, row, have, want, failed);
    }
    why[WHY_AGENTS] = agents;
    why[WHY_FEASIBLE] = feasible;
    why[WHY_EMPTY] = empty;
    memcpy(why + WHY_RULED, ruled, sizeof ruled);
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
