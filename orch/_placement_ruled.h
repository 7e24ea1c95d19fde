/* Pods of one shape under its rules: a walk, a walk with quotas, or pod by pod; and undoing what was placed.
 *
 * GROUP_BY (one LEAST) goes round the values, lowest code first, and stops for good where the next value has no agent
 * that holds the pod. Values share no agent, so each has a sequence of its own: one walk fills all of them up to quotas
 * found by levelling, and the sequences are dealt round by round. Where a value came short, what lies above its level is
 * undone, in the reverse of the order in which it came.
 */
#ifndef ORCH_PLACEMENT_RULED_H
#define ORCH_PLACEMENT_RULED_H
#include "_placement_flat.h"
#include "_placement_prefer.h"

/* What pods are placed on. Other policies than best fit leave the order as it is. */
typedef struct {
    orch_order *order;
    orch_moves *moves;
    int32_t *free_;
    const int32_t *total; /* [rows][dims] */
    const int32_t *largest;
    const uint8_t *state;
    const int64_t *weight;
    int64_t rows;
    int dims, policy;
} orch_ground;

/* As orch_rules_room and orch_rules_take, also without rules. */
static inline int64_t orch_may(const orch_rules *r, int64_t row, int64_t cap) { return r ? orch_rules_room(r, row, cap) : cap; }

static inline void orch_take(orch_rules *r, int64_t row, int64_t times, int32_t *out, int64_t got)
{
    if (r)
        orch_rules_take(r, row, times, out, got);
    for (int64_t z = 0; !r && z < times; z++)
        out[got + z] = (int32_t)row;
}

static int64_t orch_walk_first(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                               int32_t *out, orch_rules *r)
{
    int64_t got = 0;
    for (int64_t row = 0; got < count; row++) {
        row = orch_next_row(row, g->rows, g->free_, g->state, want, allowed);
        if (row >= g->rows)
            break;
        int32_t *have = g->free_ + ORCH_LANES * row;
        int64_t times = orch_times(have, want, orch_may(r, row, count - got));
        orch_charge(have, want, times);
        orch_take(r, row, times, out, got);
        got += times;
    }
    return got;
}

/* A heap, one pod at a time. An agent that the rules have ruled out stays out. */
static int64_t orch_walk_spread(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                                int32_t *out, orch_rules *r)
{
    int64_t size = 0, got = 0;
    g->moves->count = 0;
    if (orch_moves_reserve(g->moves, g->rows))
        return -1;
    int64_t *heap = g->moves->places;
    for (int64_t row = 0;; row++) {
        row = orch_next_row(row, g->rows, g->free_, g->state, want, allowed);
        if (row >= g->rows)
            break;
        heap[size++] = orch_place(orch_spread_score(g->free_ + ORCH_LANES * row, g->total + g->dims * row), row);
    }
    for (int64_t i = size / 2 - 1; i >= 0; i--)
        orch_sift(heap, size, i);
    while (got < count && size > 0) {
        int64_t row = orch_row(heap[0]);
        int32_t *have = g->free_ + ORCH_LANES * row;
        int may = orch_may(r, row, 1) > 0;
        if (may) {
            orch_charge(have, want, 1);
            orch_take(r, row, 1, out, got++);
        }
        if (may && orch_fits(have, want))
            heap[0] = orch_place(orch_spread_score(have, g->total + g->dims * row), row);
        else
            heap[0] = heap[--size];
        if (size > 0)
            orch_sift(heap, size, 0);
    }
    return got;
}

/* Places up to `count` equal pods under rules that agents only fall out of, or none (NULL; then not by best fit). */
static int64_t orch_walk(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count, int32_t *out,
                         orch_rules *r)
{
    if (g->policy == ORCH_BEST_FIT)
        return orch_fill_ruled_best(g->order, g->free_, g->weight, want, allowed, count, out, g->moves, r);
    if (g->policy == ORCH_FIRST_FIT)
        return orch_walk_first(g, want, allowed, count, out, r);
    return orch_walk_spread(g, want, allowed, count, out, r);
}

/* Pods more on an agent, or less, with its place in the order. 0, or -1 without memory. */
static int orch_recount(const orch_ground *g, const int32_t *want, orch_rules *r, int64_t row, int64_t times)
{
    int32_t *have = g->free_ + ORCH_LANES * row;
    if (g->policy == ORCH_BEST_FIT)
        orch_order_remove(g->order, row);
    orch_charge(have, want, times);
    orch_rules_count(r, row, times);
    if (g->policy != ORCH_BEST_FIT)
        return 0;
    return orch_order_insert(g->order, orch_place(orch_score(have, g->weight), row), orch_signature(have), -1) < 0 ? -1 : 0;
}

/* Gives back pods that were placed on these agents. 0, or -1 without memory. */
static int orch_undo(const orch_ground *g, const int32_t *want, orch_rules *r, const int32_t *agents, int64_t count)
{
    for (int64_t i = 0, j; i < count; i = j) {
        for (j = i + 1; j < count && agents[j] == agents[i]; j++)
            ;
        if (orch_recount(g, want, r, agents[i], i - j))
            return -1;
    }
    return 0;
}

/* ---- pod by pod ---- */

/* The next agent from a row on that holds one more pod under its rules; g->rows: there is none. */
static inline int64_t orch_next_allowed(const orch_ground *g, int64_t row, const int32_t *want, const uint8_t *allowed,
                                        const orch_rules *r)
{
    for (;; row++) {
        row = orch_next_row(row, g->rows, g->free_, g->state, want, allowed);
        if (row >= g->rows || orch_rules_room(r, row, 1) > 0)
            return row;
    }
}

/* The agent of the next pod, or -1. */
static int64_t orch_next_by_rules(const orch_ground *g, const int32_t *want, const uint8_t *allowed, const orch_rules *r)
{
    int64_t best = -1, best_code = 0, best_score = 0, best_met = 0;
    for (int64_t row = 0;; row++) {
        row = orch_next_allowed(g, row, want, allowed, r);
        if (row >= g->rows)
            return best;
        const int32_t *have = g->free_ + ORCH_LANES * row;
        int64_t code = r->least ? r->least->counter->codes[row] : 0, score = 0;
        int lost, met = orch_meets(r, row, &lost);
        if (g->policy == ORCH_BEST_FIT)
            score = orch_score(have, g->weight);
        else if (g->policy == ORCH_SPREAD)
            score = orch_spread_score(have, g->total + g->dims * row);
        if (best < 0 || met > best_met
            || (met == best_met && (code < best_code || (code == best_code && score < best_score)))) {
            best = row;
            best_met = met;
            best_code = code;
            best_score = score;
        }
    }
}

static int64_t orch_fill_each(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                              int32_t *out, orch_rules *r)
{
    int64_t got = 0;
    for (; got < count; got++) {
        orch_rules_refresh(r);
        int64_t row = orch_next_by_rules(g, want, allowed, r);
        if (row < 0)
            break;
        if (orch_recount(g, want, r, row, 1))
            return -1;
        out[got] = (int32_t)row;
    }
    return got;
}

/* ---- what is preferred first ---- */

/* The most preferences that an agent meets which holds one more pod, -1: none does; can a pod there raise what agents meet? */
static int orch_best_level(const orch_ground *g, const int32_t *want, const uint8_t *allowed, const orch_rules *r,
                           int *raises)
{
    int best = -1;
    *raises = 0;
    for (int64_t row = 0;; row++) {
        row = orch_next_allowed(g, row, want, allowed, r);
        if (row >= g->rows)
            return best;
        int lost, met = orch_meets(r, row, &lost);
        if (met > best)
            *raises = 0;
        if (met >= best)
            *raises |= orch_raises(r, row, g->policy);
        best = met > best ? met : best;
    }
}

static int64_t orch_fill_preferred(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                                   int32_t *out, orch_rules *r)
{
    int64_t got = 0;
    while (got < count) {
        int raises, level = orch_best_level(g, want, allowed, r, &raises);
        if (level < 0)
            break;
        orch_rule *keep = &r->rule[r->rules++];
        keep->counter = r->preference[0].counter;
        keep->operator_ = ORCH_LEVEL;
        keep->limit = level;
        keep->counted = 0;
        int64_t more = orch_walk(g, want, allowed, raises ? 1 : count - got, out + got, r);
        r->rules--;
        if (more < 0)
            return -1;
        got += more;
    }
    return got;
}

/* ---- evenly over the values of one attribute ---- */

static inline int64_t orch_above(int64_t level, int64_t count) { return level > count ? level - count : 0; }

/* The highest level that `pods` fill all values up to. */
static int64_t orch_even_to(const orch_rules *r, int64_t low, int64_t pods)
{
    const orch_counter *c = r->least->counter;
    int64_t high = low + pods + 1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2, need = 0;
        for (int64_t v = 0; v < c->values && need <= pods; v++)
            need += c->offered[v] ? orch_above(middle, r->base[v]) : 0;
        if (need <= pods)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Quotas of up to `count` pods, as if every value had room; and room for a pod more of each in `deal`. Returns the sum. */
static int64_t orch_even_quotas(orch_rules *r, int64_t count)
{
    const orch_counter *c = r->least->counter;
    int64_t low = INT64_MAX, none = 0, start = 0, sum = 0;
    for (int64_t v = 0; v < c->values; v++) {
        r->base[v] = c->counts[v];
        if (c->offered[v]) {
            low = r->base[v] < low ? r->base[v] : low;
            none += r->base[v] == 0;
        }
    }
    if (low == INT64_MAX)
        return 0;
    if (c->in_use + none < r->least->limit)
        count = count < none ? count : none;
    int64_t level = orch_even_to(r, low, count);
    for (int64_t v = 0; v < c->values; v++)
        sum += r->quota[v] = c->offered[v] ? orch_above(level, r->base[v]) : 0;
    for (int64_t v = 0; v < c->values; v++) {
        if (sum < count && c->offered[v] && r->base[v] <= level) {
            r->quota[v]++;
            sum++;
        }
        r->start[v] = start;
        r->filled[v] = 0;
        start += r->quota[v] + 1;
    }
    return sum;
}

/* A value came short: nothing may lie above its level but one round, in order of the codes. Returns what lies, -1: memory. */
static int64_t orch_even_cut(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                             int32_t *out, orch_rules *r)
{
    const orch_counter *c = r->least->counter;
    int64_t level = INT64_MAX, tries = 0, sum = 0;
    for (int64_t v = 0; v < c->values; v++)
        if (r->quota[v] > 0 && r->base[v] + r->filled[v] < level)
            level = r->base[v] + r->filled[v];
    for (int64_t v = 0; v < c->values; v++) {
        int64_t keep = orch_above(level + 1, r->base[v]);
        if (r->filled[v] > keep) {
            if (orch_undo(g, want, r, r->deal + r->start[v] + keep, r->filled[v] - keep))
                return -1;
            r->filled[v] = keep;
        }
        /* Not asked for before, but its turn now that one before it is passed over. */
        r->quota[v] = r->quota[v] == 0 && c->offered[v] && r->base[v] + r->filled[v] == level;
        tries += r->quota[v];
        count -= c->offered[v] ? orch_above(level, r->base[v]) : 0;
    }
    if (tries && orch_walk(g, want, allowed, tries, out, r) < 0)
        return -1;
    for (int64_t v = 0; v < c->values; v++) {
        if (c->offered[v] && r->base[v] <= level && r->base[v] + r->filled[v] == level + 1 && count-- <= 0) {
            if (orch_undo(g, want, r, r->deal + r->start[v] + --r->filled[v], 1))
                return -1;
        }
        sum += r->filled[v];
    }
    return sum;
}

/* The sequences of all values into one, round by round. A value takes part from the level on that it had before. */
static void orch_even_deal(orch_rules *r, int32_t *out, int64_t count)
{
    const orch_counter *c = r->least->counter;
    int64_t *ready = r->quota, level = INT64_MAX, got = 0; /* the quotas are not needed any more */
    for (int64_t v = 0; v < c->values; v++)
        if (r->filled[v] > 0 && r->base[v] < level)
            level = r->base[v];
    while (got < count) {
        int64_t n = 0, rounds = INT64_MAX;
        for (int64_t v = 0; v < c->values; v++) {
            if (r->filled[v] == 0)
                continue;
            int64_t these = r->base[v] <= level ? r->filled[v] : r->base[v] - level;
            rounds = these < rounds ? these : rounds;
            if (r->base[v] <= level)
                ready[n++] = v;
        }
        for (int64_t k = 0; k < rounds; k++)
            for (int64_t i = 0; i < n; i++)
                out[got++] = r->deal[r->start[ready[i]]++];
        for (int64_t i = 0; i < n; i++)
            r->filled[ready[i]] -= rounds;
        level += rounds;
    }
}

static int64_t orch_fill_even(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                              int32_t *out, orch_rules *r)
{
    int64_t quotas = orch_even_quotas(r, count), got = 0;
    r->by_quota = 1;
    if (quotas > 0)
        got = orch_walk(g, want, allowed, quotas, out, r);
    if (got >= 0 && got < quotas)
        got = orch_even_cut(g, want, allowed, quotas, out, r);
    r->by_quota = 0;
    if (got > 0)
        orch_even_deal(r, out, got);
    return got;
}

/* Places up to `count` equal pods under the rules of their shape. Returns how many, or -1 without memory. */
static int64_t orch_fill_ruled(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                               int32_t *out, orch_rules *r)
{
    for (int d = 0; d < ORCH_LANES; d++)
        if (want[d] > g->largest[d])
            return 0;
    if (count == 0 || g->rows == 0)
        return 0;
    if (r->path == ORCH_EVEN)
        return orch_fill_even(g, want, allowed, count, out, r);
    if (r->path == ORCH_EACH)
        return orch_fill_each(g, want, allowed, count, out, r);
    if (r->preferences > 0)
        return orch_fill_preferred(g, want, allowed, count, out, r);
    return orch_walk(g, want, allowed, count, out, r);
}

/* How many of `count` pods fit at once: placed and given back. `out` has room for them. -1 without memory. */
static int64_t orch_room_ruled(const orch_ground *g, const int32_t *want, const uint8_t *allowed, int64_t count,
                               int32_t *out, orch_rules *r)
{
    int64_t got = orch_fill_ruled(g, want, allowed, count, out, r);
    return got < 0 || orch_undo(g, want, r, out, got) ? -1 : got;
}

#endif
