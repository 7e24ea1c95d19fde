/* Best fit of many equal pods, or of one: a walk over the order, from the first agent that may hold the pod.
 *
 * Charging an agent makes it fuller, so it stays the best until it holds no more: each is filled by one division.
 */
#ifndef ORCH_PLACEMENT_FILL_H
#define ORCH_PLACEMENT_FILL_H
#include "_placement_order.h"
#include "_placement_rules.h"

/* Places of agents that change their block in a run; room for sorting them. */
typedef struct {
    int64_t *places, *spare;
    int64_t count, room;
} orch_moves;

static int orch_moves_reserve(orch_moves *m, int64_t more)
{
    if (m->count + more <= m->room)
        return 0;
    int64_t room = (m->count + more) * 3 / 2;
    int64_t *places = realloc(m->places, (size_t)room * sizeof *places);
    if (!places)
        return -1;
    m->places = places;
    int64_t *spare = realloc(m->spare, (size_t)room * sizeof *spare);
    if (!spare)
        return -1;
    m->spare = spare;
    m->room = room;
    return 0;
}

static void orch_moves_free(orch_moves *m)
{
    free(m->places);
    free(m->spare);
    memset(m, 0, sizeof *m);
}

/* A request, made ready for dividing by it. */
typedef struct {
    const int32_t *want;
    double by[ORCH_LANES], beyond[ORCH_LANES];
} orch_divisor;

static inline void orch_divide_by(orch_divisor *v, const int32_t *want)
{
    v->want = want;
    for (int d = 0; d < ORCH_LANES; d++) {
        v->by[d] = want[d] > 0 ? want[d] : 1;
        v->beyond[d] = want[d] > 0 ? 0 : 4e18; /* what is not asked for never limits */
    }
}

/* How many pods an agent holds, at most `cap`. The quotient of two int32 as a double is never rounded up to the next
 * whole number: it is at least 2^-31 away from it, and doubles are finer than that here. */
static inline int64_t orch_holds(const orch_divisor *v, const int32_t *have, int64_t cap)
{
    double least = (double)cap;
    for (int d = 0; d < ORCH_LANES; d++) {
        double times = (double)have[d] / v->by[d] + v->beyond[d];
        least = times < least ? times : least;
    }
    return (int64_t)least;
}

/* Of the agents found in a block, the places of those that hold the pod. */
static inline __attribute__((always_inline)) int orch_holders(const orch_block *b, const uint64_t *found,
                                                              const int32_t *free_, const int32_t *want,
                                                              const uint8_t *allowed, const orch_rules *rules,
                                                              int64_t *places)
{
    int n = 0;
    for (int half = 0; half < 2; half++)
        for (uint64_t bits = found[half]; bits; bits &= bits - 1) {
            int slot = 64 * half + __builtin_ctzll(bits);
            int64_t row = b->row[slot];
            if (orch_fits(free_ + ORCH_LANES * row, want) && (allowed == NULL || allowed[row])
                && (rules == NULL || orch_rules_room(rules, row, 1) > 0))
                places[n++] = orch_place_in(b, slot);
        }
    return n;
}

/* The least place first; the rest may be in any order. */
static void orch_least_first(int64_t *places, int n)
{
    int least = 0;
    for (int i = 1; i < n; i++)
        least = places[i] < places[least] ? i : least;
    int64_t place = places[0];
    places[0] = places[least];
    places[least] = place;
}

/* An agent of the block at `at` was charged: it stays there, or leaves the block and waits in `moves`. */
static inline void orch_recharged(orch_order *o, int64_t at, int64_t row, const int32_t *have, const int64_t *weight,
                                  orch_moves *moves)
{
    int64_t place = orch_place(orch_score(have, weight), row);
    if (place >= o->low[at]) {
        orch_block *b = orch_block_at(o, at);
        orch_block_set(o, b, o->number[at], o->slot[row], place, orch_signature(have));
        b->loose = 1;
        return;
    }
    orch_order_remove(o, row);
    moves->places[moves->count++] = place;
}

/* Puts the moved agents where they belong now. 0, or -1 without memory. */
static int orch_settle(orch_order *o, const int32_t *free_, orch_moves *moves)
{
    if (moves->count > 1)
        orch_sort(moves->places, moves->spare, moves->count);
    int64_t at = -1;
    for (int64_t i = 0; i < moves->count; i++) {
        int64_t place = moves->places[i];
        at = orch_order_insert(o, place, orch_signature(free_ + ORCH_LANES * orch_row(place)), at);
        if (at < 0)
            return -1;
    }
    moves->count = 0;
    if (o->empty > 16 + o->blocks / 4)
        orch_order_compact(o);
    return 0;
}

/* The next request starts with what ruled out the most in this one. */
static inline void orch_remember(orch_order *o, const orch_asked *asked)
{
    for (int i = 0; i < asked->resources && o->first[i] != asked->resource[i]; i++) {
        uint8_t d = o->first[i];
        int k = i;
        while (o->first[k] != asked->resource[i])
            k++;
        o->first[i] = asked->resource[i];
        o->first[k] = d;
    }
}

/* Places up to `count` equal pods and writes their agents to `out`. Returns how many, or -1 without memory. */
static inline __attribute__((always_inline)) int64_t orch_fill_any(orch_order *o, int32_t *free_, const int64_t *weight,
                                                                   const int32_t *want, const uint8_t *allowed,
                                                                   int64_t count, int32_t *out, orch_moves *moves,
                                                                   orch_rules *rules)
{
    if (o->blocks == 0)
        return 0;
    orch_divisor divisor;
    orch_divide_by(&divisor, want);
    orch_asked asked;
    orch_ask(&asked, orch_signature(want), o->first);
    uint64_t found[2];
    int64_t places[ORCH_BLOCK], got = 0;
    /* An agent that holds the pod scores at least as much as the pod itself: the fuller ones need no look. */
    int64_t at = orch_order_find(o, orch_place(orch_score(want, weight), 0));
    moves->count = 0;
    for (; got < count; at++) {
        at = orch_scan_by.next(o, at, &asked, found);
        if (at == o->blocks)
            break;
        int n = orch_holders(orch_block_at(o, at), found, free_, want, allowed, rules, places);
        if (n == 0)
            continue;
        if (orch_moves_reserve(moves, n))
            return -1;
        if (count - got == 1)
            orch_least_first(places, n);
        else
            orch_sort_few(places, n);
        for (int i = 0; i < n && got < count; i++) {
            int64_t row = orch_row(places[i]);
            int32_t *have = free_ + ORCH_LANES * row;
            int64_t most = rules ? orch_rules_room(rules, row, count - got) : count - got;
            if (most == 0)
                continue; /* an agent before it in this block has taken the last that the rules let in */
            int64_t times = rules && most == 1 ? 1 : orch_holds(&divisor, have, most); /* it holds one: see orch_holders */
            orch_charge(have, want, times);
            if (rules)
                orch_rules_take(rules, row, times, out, got);
            for (int64_t z = 0; !rules && z < times; z++)
                out[got + z] = (int32_t)row;
            got += times;
            orch_recharged(o, at, row, have, weight, moves);
        }
    }
    orch_remember(o, &asked);
    return orch_settle(o, free_, moves) ? -1 : got;
}

/* Without rules, and with: two functions, so that the first pays nothing for the second. */
ORCH_CLONES
static int64_t orch_fill_best(orch_order *o, int32_t *free_, const int64_t *weight, const int32_t *want,
                              const uint8_t *allowed, int64_t count, int32_t *out, orch_moves *moves)
{
    return orch_fill_any(o, free_, weight, want, allowed, count, out, moves, NULL);
}

ORCH_CLONES
static int64_t orch_fill_ruled_best(orch_order *o, int32_t *free_, const int64_t *weight, const int32_t *want,
                                    const uint8_t *allowed, int64_t count, int32_t *out, orch_moves *moves,
                                    orch_rules *rules)
{
    return orch_fill_any(o, free_, weight, want, allowed, count, out, moves, rules);
}

#endif
