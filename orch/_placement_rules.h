/* Rules between pods: what lies where is counted by an attribute's value, and a rule asks that count.
 *
 * MAX, SAME and SOME allow fewer agents with each pod placed, or as many, never more: so a walk over the agents that fills
 * each by division stays exact under them. LEAST goes round its values; see _placement_ruled.h.
 */
#ifndef ORCH_PLACEMENT_RULES_H
#define ORCH_PLACEMENT_RULES_H
#include "_placement_kernel.h"

#define ORCH_RULES_MOST 16    /* of one shape, and as many preferences */
#define ORCH_COUNTERS_MOST 64 /* that count the pods of one shape */

enum orch_operator {
    ORCH_MAX,   /* fewer than `limit` of the value: UNIQUE is 1 */
    ORCH_LEAST, /* a value that has the fewest; until `limit` values are in use, one that has none */
    ORCH_SAME,  /* a value that has some, or any while there is none anywhere */
    ORCH_SOME,  /* a value that has some */
    ORCH_LEVEL  /* not a user's: the agent meets at least `limit` preferences */
};

/* How the pods of a shape are placed under its rules. */
enum orch_path {
    ORCH_WALK, /* agents only fall out: one walk */
    ORCH_EVEN, /* one LEAST, the sequence of each value independent of the others: one walk with quotas */
    ORCH_EACH  /* anything else: pod by pod */
};

typedef struct {
    const int32_t *codes; /* of each agent its value, -1: it has none, and every rule says no */
    int32_t *counts;      /* of each value */
    uint8_t *offered;     /* of each value: has it an agent that is usable and that the mask allows? for LEAST alone */
    int64_t values;
    int64_t in_use;       /* values with a count above 0 */
    int64_t offered_for;  /* the mask that `offered` was made for, plus one; -1: none yet */
} orch_counter;

typedef struct {
    orch_counter *counter;
    int32_t operator_, limit;
    int32_t counted; /* are this shape's own pods counted by it? */
    int32_t fewest;  /* LEAST: the count of the values that come next; -1: none may */
} orch_rule;

typedef struct {
    orch_counter *counter;
    int32_t near_;   /* is it met where the value has some, or where it has none? */
    int32_t counted; /* are this shape's own pods counted by it? */
    int32_t single;  /* has each value one agent at most? */
} orch_preference;

/* The rules of one shape, ready to be asked. */
typedef struct {
    int rules, counters, preferences, path, by_quota;
    orch_rule rule[ORCH_RULES_MOST + 1]; /* one more while a walk keeps to a level */
    orch_counter *counter[ORCH_COUNTERS_MOST];
    orch_preference preference[ORCH_RULES_MOST];
    const orch_rule *least; /* the first LEAST: of several values the lowest code goes first */
    /* By quota: of each value of `least` how many more, its count before, where its agents are written and how many are. */
    int64_t *quota, *base, *start, *filled;
    int32_t *deal;
} orch_rules;

/* How many preferences an agent meets. lost: how many of them it does not any more with a pod of this shape. */
static inline int orch_meets(const orch_rules *r, int64_t row, int *lost)
{
    int met = 0;
    *lost = 0;
    for (int i = 0; i < r->preferences; i++) {
        const orch_preference *p = &r->preference[i];
        int64_t code = p->counter->codes[row];
        if (code < 0 || (p->counter->counts[code] > 0) != p->near_)
            continue;
        met++;
        *lost += p->counted && !p->near_;
    }
    return met;
}

/* How many more pods fit onto an agent while it meets so many preferences, at most `cap`. */
static inline int64_t orch_level_room(const orch_rules *r, int64_t row, int64_t cap, int32_t level)
{
    int lost, met = orch_meets(r, row, &lost);
    return met < level ? 0 : met - lost >= level ? cap : cap > 1 ? 1 : cap;
}

/* How many more pods one of the rules lets onto an agent, at most `cap`. */
static inline __attribute__((always_inline)) int64_t orch_rule_room(const orch_rules *r, const orch_rule *rule, int64_t row,
                                                                    int64_t cap)
{
    const orch_counter *c = rule->counter;
    if (rule->operator_ == ORCH_LEVEL)
        return orch_level_room(r, row, cap, rule->limit);
    int64_t code = c->codes[row], most = cap;
    if (code < 0)
        return 0;
    int64_t count = c->counts[code];
    if (rule->operator_ == ORCH_MAX)
        most = count >= rule->limit ? 0 : rule->counted ? rule->limit - count : cap;
    else if (rule->operator_ == ORCH_LEAST)
        most = r->by_quota ? r->quota[code] : c->offered[code] && count == rule->fewest ? 1 : 0;
    else if (count == 0)
        most = rule->operator_ == ORCH_SAME && c->in_use == 0 ? cap : 0;
    return most < cap ? most : cap;
}

/* How many more pods all of them let onto it, at most `cap`. */
static inline __attribute__((always_inline)) int64_t orch_rules_room(const orch_rules *r, int64_t row, int64_t cap)
{
    for (int i = 0; i < r->rules && cap > 0; i++)
        cap = orch_rule_room(r, &r->rule[i], row, cap);
    return cap;
}

/* Bit i set where rule i says no to an agent. */
static inline uint32_t orch_rules_failed(const orch_rules *r, int64_t row)
{
    uint32_t failed = 0;
    for (int i = 0; i < r->rules; i++)
        failed |= (uint32_t)(orch_rule_room(r, &r->rule[i], row, 1) == 0) << i;
    return failed;
}

/* Whether one walk takes `count` pods to more than one in `part` agents, as their rules let but a few onto each. */
static int orch_rules_bulk(const orch_rules *r, int64_t agents, int64_t count, int64_t part)
{
    for (int i = 0; i < r->rules && r->path == ORCH_WALK && r->preferences == 0; i++) {
        const orch_rule *rule = &r->rule[i];
        if (rule->operator_ == ORCH_MAX && rule->counted && rule->limit > 0 && rule->counter->values >= agents / 3
            && count / rule->limit >= agents / part)
            return 1;
    }
    return 0;
}

/* So many pods more on an agent; less, where `times` is negative. */
static inline void orch_rules_count(orch_rules *r, int64_t row, int64_t times)
{
    for (int i = 0; i < r->counters; i++) {
        orch_counter *c = r->counter[i];
        int64_t code = c->codes[row];
        if (code < 0)
            continue;
        int32_t before = c->counts[code], after = (int32_t)(before + times);
        c->counts[code] = after;
        c->in_use += (after > 0) - (before > 0);
    }
}

/* Counts pods on an agent and writes them: to out[got], or where the sequence of its value goes. */
static inline void orch_rules_take(orch_rules *r, int64_t row, int64_t times, int32_t *out, int64_t got)
{
    int32_t *to = out + got;
    if (r->by_quota) {
        int64_t code = r->least->counter->codes[row];
        to = r->deal + r->start[code] + r->filled[code];
        r->filled[code] += times;
        r->quota[code] -= times;
    }
    for (int64_t z = 0; z < times; z++)
        to[z] = (int32_t)row;
    orch_rules_count(r, row, times);
}

/* What LEAST asks of the counts as they are now. */
static void orch_rules_refresh(orch_rules *r)
{
    for (int i = 0; i < r->rules; i++) {
        orch_rule *rule = &r->rule[i];
        const orch_counter *c = rule->counter;
        if (rule->operator_ != ORCH_LEAST)
            continue;
        rule->fewest = -1;
        for (int64_t v = 0; v < c->values; v++)
            if (c->offered[v] && (rule->fewest < 0 || c->counts[v] < rule->fewest))
                rule->fewest = c->counts[v];
        if (rule->fewest > 0 && c->in_use < rule->limit)
            rule->fewest = -1; /* it waits for an agent with another value */
    }
}

/* Which values are on offer under a mask; kept until another mask is asked for. */
static void orch_rules_offer(orch_rules *r, int64_t rows, const uint8_t *state, const uint8_t *allowed, int64_t mask)
{
    for (int i = 0; i < r->rules; i++) {
        orch_counter *c = r->rule[i].counter;
        if (r->rule[i].operator_ != ORCH_LEAST || c->offered_for == mask + 1)
            continue;
        if (c->values > 0) /* else there are no flags, and memset may not be given a null pointer */
            memset(c->offered, 0, (size_t)c->values);
        for (int64_t row = 0; row < rows; row++)
            if (state[row] == ORCH_USABLE && c->codes[row] >= 0 && (allowed == NULL || allowed[row]))
                c->offered[c->codes[row]] = 1;
        c->offered_for = mask + 1;
    }
}

#endif
