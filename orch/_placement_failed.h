/* Which predicates agents fail for a pod: of one agent, or of 64 at once, a bit each. */
#ifndef ORCH_PLACEMENT_FAILED_H
#define ORCH_PLACEMENT_FAILED_H
#include "_placement_order.h"
#include "_placement_rules.h"

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

/* The agents' columns. Rows without an agent have state 0. */
typedef struct {
    const int32_t *free_; /* [rows][ORCH_LANES] */
    const int32_t *total; /* [rows][dims], readable ORCH_LANES wide */
    const uint8_t *state;
    int64_t rows;
    int dims;
    const int32_t *largest;       /* of each resource, the largest total of any agent */
    const int32_t *held_rows, *held; /* set aside for others and not in free_: rows, ascending; [held_count][ORCH_LANES] */
    int64_t held_count;
} orch_agents;

/* What is asked of each agent. allowed: a flag for each, or NULL. rules: refreshed, or NULL. */
typedef struct {
    const orch_agents *agents;
    const int32_t *want;
    const uint8_t *allowed;
    const orch_rules *rules;
    int64_t held; /* of the rows with something set aside, the next to be asked: rows are asked in ascending order */
} orch_question;

/* The answers of up to 64 agents in rows from `first` on. */
typedef struct {
    int64_t first;
    uint64_t here;            /* rows with an agent */
    uint64_t failed[P_COUNT]; /* by predicate; beyond the rules of the shape there is 0 */
    uint64_t above[ORCH_LANES], nearer[ORCH_LANES]; /* see orch_lacking */
} orch_part;

/* The predicates that the agent in a row fails, one bit each, in their order. */
static inline unsigned orch_failed(orch_question *q, int64_t row)
{
    const orch_agents *a = q->agents;
    const int32_t *have = a->free_ + ORCH_LANES * row;
    unsigned lacks = orch_short(have, q->want), failed = 0;
    if (a->state[row] != ORCH_USABLE)
        failed = 1u << (a->state[row] == ORCH_DRAINED ? P_DRAINING : P_USABLE);
    while (q->held < a->held_count && a->held_rows[q->held] < row)
        q->held++;
    if (lacks && q->held < a->held_count && a->held_rows[q->held] == row
        && orch_fits_with(have, a->held + ORCH_LANES * q->held, q->want)) {
        failed |= 1u << P_RESERVED;
        lacks = 0;
    }
    if (q->allowed != NULL && !q->allowed[row])
        failed |= 1u << P_CONSTRAINT;
    if (q->rules != NULL)
        failed |= orch_rules_failed(q->rules, row) << P_RULE;
    return failed | lacks << P_RESOURCE;
}

/* Bit i set where byte i of n, at most 64, is this value. Eight at a time: a byte that differs from it is not 0 after ^, and
 * then sets its upper bit, itself or by the addition. */
static inline uint64_t orch_flags(const uint8_t *bytes, int n, uint8_t value)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t bits = 0;
    for (int i = 0; i < n; i += 8) {
        uint64_t x = 0;
        memcpy(&x, bytes + i, n - i < 8 ? (size_t)(n - i) : 8);
        x ^= value * 0x0101010101010101ull;
        x = ~(((x & low) + low) | x | low);
        bits |= ((x >> 7) * 0x0102040810204080ull >> 56) << i;
    }
    return n < 64 ? bits & ((1ull << n) - 1) : bits;
}

/* Bit i set where a rule says no to the agent in row first + i. */
static inline __attribute__((always_inline)) uint64_t orch_rule_refuses(const orch_rules *r, const orch_rule *rule,
                                                                        int64_t first, int n)
{
    const int32_t *codes = rule->counter->codes + first, *counts = rule->counter->counts;
    uint64_t refused = 0;
    if (rule->operator_ == ORCH_MAX) /* the usual one: without a branch for each agent */
        for (int i = 0; i < n; i++)
            refused |= (uint64_t)(codes[i] < 0 || counts[codes[i]] >= rule->limit) << i;
    else
        for (int i = 0; i < n; i++)
            refused |= (uint64_t)(orch_rule_room(r, rule, first + i, 1) == 0) << i;
    return refused;
}

/* Of agents that hold the pod with what is set aside, those that lack something without it lack nothing else. */
static inline void orch_lack_reserved(orch_lacking *lacking, uint64_t *reserved)
{
    uint64_t lacks = 0;
    for (int d = 0; d < ORCH_LANES; d++)
        lacks |= lacking->lacks[d];
    *reserved &= lacks;
    for (int d = 0; d < ORCH_LANES; d++)
        lacking->lacks[d] &= ~*reserved;
}

/* Asks the agents in up to 64 rows from `first` on. most, only: the levels for above and nearer. */
static inline __attribute__((always_inline)) void orch_ask_part(orch_question *q, int64_t first, const int32_t *most,
                                                                const int32_t *only, orch_part *part)
{
    const orch_agents *a = q->agents;
    int n = a->rows - first < 64 ? (int)(a->rows - first) : 64;
    const int32_t *have = a->free_ + ORCH_LANES * first;
    orch_lacking lacking;
    orch_scan_by.lacking(have, n, q->want, most, only, &lacking);
    part->first = first;
    part->here = n < 64 ? (1ull << n) - 1 : ~0ull;
    memset(part->failed, 0, sizeof part->failed);
    uint64_t usable = orch_flags(a->state + first, n, ORCH_USABLE);
    if (usable != part->here) {
        part->here &= ~orch_flags(a->state + first, n, 0);
        part->failed[P_DRAINING] = orch_flags(a->state + first, n, ORCH_DRAINED);
        part->failed[P_USABLE] = part->here & ~usable & ~part->failed[P_DRAINING];
    }
    for (; q->held < a->held_count && a->held_rows[q->held] < first + n; q->held++) {
        int64_t i = a->held_rows[q->held] - first;
        int fits = orch_fits_with(have + ORCH_LANES * i, a->held + ORCH_LANES * q->held, q->want);
        part->failed[P_RESERVED] |= (uint64_t)fits << i;
    }
    orch_lack_reserved(&lacking, &part->failed[P_RESERVED]);
    if (q->allowed != NULL)
        part->failed[P_CONSTRAINT] = orch_flags(q->allowed + first, n, 0);
    for (int i = 0; q->rules != NULL && i < q->rules->rules; i++)
        part->failed[P_RULE + i] = orch_rule_refuses(q->rules, &q->rules->rule[i], first, n);
    memcpy(part->failed + P_RESOURCE, lacking.lacks, sizeof lacking.lacks);
    memcpy(part->above, lacking.above, sizeof part->above);
    memcpy(part->nearer, lacking.nearer, sizeof part->nearer);
}

#endif
