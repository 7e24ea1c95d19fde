/* The order as one array of places, for runs whose rules let but a few pods onto each agent, and which so visit most agents.
 *
 * Such a run makes nearly all agents fuller by the same amount, and leaves their order nearly as it was: one pass and one
 * merge, where blocks would take out each agent and put it back. Runs after one another share the array; the blocks are
 * stale until orch_flat_close makes them anew.
 */
#ifndef ORCH_PLACEMENT_FLAT_H
#define ORCH_PLACEMENT_FLAT_H
#include "_placement_fill.h"

/* A run over more than one in so many agents makes the order flat, and one over fewer, of more than so few, leaves it so. */
#define ORCH_FLAT_FROM 8
#define ORCH_FLAT_STAYS 256
#define ORCH_FLAT_AHEAD 16 /* agents that are fetched before their turn: rows lie anywhere in memory */

typedef struct {
    int64_t *places; /* of all usable agents, ascending */
    int64_t *moved;  /* scratch: as many again, and as many for sorting them */
    int64_t count;
    int live;        /* do the places stand for the order? */
} orch_flat;

static void orch_flat_free(orch_flat *f)
{
    free(f->places);
    memset(f, 0, sizeof *f);
}

/* All places from the blocks, which are no order from now on. 0, or -1 without memory. */
static int orch_flat_open(orch_flat *f, const orch_order *o)
{
    orch_flat_free(f);
    f->places = malloc((size_t)(3 * o->agents + 1) * sizeof *f->places);
    if (!f->places)
        return -1;
    f->moved = f->places + o->agents;
    for (int64_t at = 0; at < o->blocks; at++) {
        const orch_block *b = orch_block_at(o, at);
        for (int slot = 0; slot < b->count; slot++)
            f->places[f->count + slot] = orch_place_in(b, slot);
        orch_sort_few(f->places + f->count, b->count);
        f->count += b->count;
    }
    f->live = 1;
    return 0;
}

/* The blocks from all places. 0, or -1 without memory. */
static int orch_flat_close(orch_flat *f, orch_order *o, const int32_t *free_)
{
    int failed = orch_order_build(o, f->places, f->count, free_);
    orch_flat_free(f);
    return failed;
}

/* The first place that is not less than this one. */
static int64_t orch_flat_find(const orch_flat *f, int64_t place)
{
    int64_t from = 0, count = f->count;
    while (count > 0) {
        int64_t half = count / 2;
        if (f->places[from + half] < place) {
            from += half + 1;
            count -= half + 1;
        } else
            count = half;
    }
    return from;
}

/* Ascending by insertion, for places that nearly are; where that takes too long, as any others. */
static void orch_sort_nearly(int64_t *places, int64_t *spare, int64_t count)
{
    int64_t moved = 0;
    for (int64_t i = 1; i < count && moved <= 4 * count; i++) {
        int64_t place = places[i], j = i;
        for (; j > 0 && places[j - 1] > place && moved <= 4 * count; j--, moved++)
            places[j] = places[j - 1];
        places[j] = place;
    }
    if (moved > 4 * count)
        orch_sort(places, spare, count);
}

/* Places `kept` long and the moved ones into one array, from behind. */
static void orch_flat_merge(orch_flat *f, int64_t kept, int64_t moved)
{
    int64_t i = kept - 1, k = moved - 1;
    while (k >= 0 && i >= 0) {
        int64_t stays = f->places[i], comes = f->moved[k];
        int later = stays > comes; /* no branch on it: either is as likely */
        f->places[i + k + 1] = later ? stays : comes;
        i -= later;
        k -= !later;
    }
    for (; k >= 0; k--)
        f->places[k] = f->moved[k];
}

/* The usual rules: one MAX, of the counter that counts these pods and no other. Then asking and counting are a few steps. */
static inline int orch_rules_lone(const orch_rules *r)
{
    return r->rules == 1 && r->counters == 1 && r->rule[0].operator_ == ORCH_MAX && r->rule[0].counter == r->counter[0];
}

static inline int64_t orch_lone_room(const orch_rules *r, int64_t row, int64_t cap)
{
    int64_t code = r->counter[0]->codes[row];
    int64_t most = code < 0 ? 0 : (int64_t)r->rule[0].limit - r->counter[0]->counts[code];
    return most < cap ? most : cap;
}

static inline void orch_lone_take(const orch_rules *r, int64_t row, int64_t times, int32_t *out)
{
    int32_t *count = &r->counter[0]->counts[r->counter[0]->codes[row]];
    r->counter[0]->in_use += *count == 0;
    *count += (int32_t)times;
    for (int64_t z = 0; z < times; z++)
        out[z] = (int32_t)row;
}

static inline __attribute__((always_inline)) int64_t orch_fill_flat_any(orch_flat *f, int32_t *free_, const int64_t *weight,
                                                                        const int32_t *want, const uint8_t *allowed,
                                                                        int64_t count, int32_t *out, orch_rules *rules,
                                                                        const int lone)
{
    orch_divisor divisor;
    orch_divide_by(&divisor, want);
    int64_t *places = f->places, *moves = f->moved;
    /* An agent that holds the pod scores at least as much as the pod itself: the fuller ones need no look. */
    int64_t i = orch_flat_find(f, orch_place(orch_score(want, weight), 0)), kept = i, moved = 0, got = 0;
    for (; i < f->count && got < count; i++) {
        int64_t place = places[i], row = orch_row(place), most = 0;
        int32_t *have = free_ + ORCH_LANES * row;
        if (i + ORCH_FLAT_AHEAD < f->count)
            __builtin_prefetch(free_ + ORCH_LANES * orch_row(places[i + ORCH_FLAT_AHEAD]));
        if (orch_fits(have, want) && (allowed == NULL || allowed[row]))
            most = lone ? orch_lone_room(rules, row, count - got) : orch_rules_room(rules, row, count - got);
        if (most <= 0) {
            places[kept++] = place;
            continue;
        }
        int64_t times = most == 1 ? 1 : orch_holds(&divisor, have, most); /* it holds one: see orch_holders */
        orch_charge(have, want, times);
        if (lone)
            orch_lone_take(rules, row, times, out + got);
        else
            orch_rules_take(rules, row, times, out, got);
        got += times;
        moves[moved++] = orch_place(orch_score(have, weight), row);
    }
    orch_sort_nearly(moves, moves + f->count, moved);
    orch_flat_merge(f, kept, moved); /* what comes after `i` stays: it is above all that was passed */
    return got;
}

/* Places up to `count` equal pods under rules and writes their agents to `out`. Returns how many. */
ORCH_CLONES
static int64_t orch_fill_flat(orch_flat *f, int32_t *free_, const int64_t *weight, const int32_t *want,
                              const uint8_t *allowed, int64_t count, int32_t *out, orch_rules *rules)
{
    if (orch_rules_lone(rules))
        return orch_fill_flat_any(f, free_, weight, want, allowed, count, out, rules, 1);
    return orch_fill_flat_any(f, free_, weight, want, allowed, count, out, rules, 0);
}

#endif
