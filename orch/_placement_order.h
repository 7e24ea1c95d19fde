/* The order of usable agents by (score, row), in blocks, and the search for the first that holds a pod.
 *
 * A block holds up to 128 agents, in any order inside; all of block i come before all of block i + 1. So a change of an
 * agent moves a few bytes, not the order. Each agent has a signature in its block: 8 bits of each resource, coarse and
 * rounded down, monotone in what is free. Where it covers the signature of a request the agent may hold the pod, and is
 * then asked exactly; where it does not the agent cannot. The bytes of one resource lie side by side, so that a scan compares
 * 64 agents at once (AVX-512), and stops at the first resource that nobody in the block has enough of.
 * Over the blocks lies a directory: the least place that belongs there, and a bound of all signatures in the block.
 *
 * This idea is a B+ tree of two levels, with the filter of a column store in its leaves.
 */
#ifndef ORCH_PLACEMENT_ORDER_H
#define ORCH_PLACEMENT_ORDER_H
#include "_placement_kernel.h"
#include <stdlib.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ORCH_X86 1
#endif

#define ORCH_BLOCK 128
#define ORCH_BLOCK_BUILT (ORCH_BLOCK * 13 / 16) /* agents in a block of a fresh build: room for those that come */
#define ORCH_BLOCK_SPARSE (ORCH_BLOCK * 3 / 4) /* of fewer agents in a block on average some are joined before one is added */
#define ORCH_NOWHERE (-1)
#define ORCH_SCAN_GROUP 16 /* bounds that are looked at together */

typedef struct {
    uint8_t level[ORCH_LANES][ORCH_BLOCK]; /* byte d of the signature of each agent */
    int32_t score[ORCH_BLOCK], row[ORCH_BLOCK];
    int32_t count;
    int32_t loose; /* its bound in the directory may be too high */
    int32_t unused[14];
} orch_block;

typedef struct {
    int64_t blocks, room;    /* of the directory: in use, allocated */
    int64_t *low;            /* least place that belongs to the block; the first one's is INT64_MIN */
    uint64_t *most;          /* bound of the signatures in the block, byte by byte; allocated by whole groups */
    int32_t *number;         /* which block of the pool it is */
    orch_block **pool;
    int64_t pooled, pool_room;
    int32_t *spare;          /* blocks of the pool that are not in the directory */
    int64_t spares;
    int64_t rows;            /* agents that `block` and `slot` have room for */
    int32_t *block;          /* by row of an agent: its block, or ORCH_NOWHERE */
    uint8_t *slot;           /* where it is in that block */
    int64_t agents, empty;   /* in all blocks; blocks of the directory without one */
    int64_t sparse;          /* from so many blocks on it is worth looking whether some can be joined */
    uint8_t first[ORCH_LANES]; /* resources, those first that ruled out the most agents of late: a guess, for speed alone */
} orch_order;

/* ---- signatures ---- */

/* 8 bits of an amount: 0 for nothing, else the exponent and three bits of the mantissa of its float, both rounded as one.
 * Rounding is monotone, so a >= b means byte(a) >= byte(b). */
static inline __attribute__((always_inline)) uint64_t orch_signature(const int32_t *have)
{
    uint64_t s = 0;
    for (int part = 0; part < 2; part++) {
        orch_half h;
        memcpy(&h, have + 4 * part, sizeof h);
        orch_half bits = (orch_half)__builtin_convertvector(h, orch_half_floats);
        orch_pair two = (orch_pair)(((bits >> 20) - 1015) & (h > 0)); /* 1.0f >> 20 is 1016 */
        uint64_t low = (uint64_t)two[0], high = (uint64_t)two[1];
        uint64_t four = ((low | low >> 24) & 0xffff) | ((high | high >> 24) & 0xffff) << 16;
        s |= four << (32 * part);
    }
    return s;
}

#define ORCH_HIGH 0x8080808080808080ull

/* Bit 7 of each byte: whether that byte of `a` is at least that of `b`. */
static inline uint64_t orch_bytes_ge(uint64_t a, uint64_t b)
{
    uint64_t rest = (a | ORCH_HIGH) - (b & ~ORCH_HIGH);
    return ((a & ~b) | (~(a ^ b) & rest)) & ORCH_HIGH;
}

static inline int orch_covers(uint64_t a, uint64_t b) { return orch_bytes_ge(a, b) == ORCH_HIGH; }

/* The larger of each byte. */
static inline uint64_t orch_most(uint64_t a, uint64_t b)
{
    uint64_t mask = (orch_bytes_ge(a, b) >> 7) * 255;
    return (a & mask) | (b & ~mask);
}

/* Bits of the places of a block that are in use. */
static inline void orch_in_use(int32_t count, uint64_t *used)
{
    used[0] = count < 64 ? (1ull << count) - 1 : ~0ull;
    used[1] = count < 64 ? 0 : count < 128 ? (1ull << (count - 64)) - 1 : ~0ull;
}

/* What a request asks for, by its signature: the resources that are not 0, those first that rule out the most. */
typedef struct {
    uint64_t signature;
    int resources;
    uint8_t resource[ORCH_LANES], level[ORCH_LANES];
} orch_asked;

static void orch_ask(orch_asked *asked, uint64_t signature, const uint8_t *first)
{
    asked->signature = signature;
    asked->resources = 0;
    asked->resource[0] = 0;
    for (int i = 0; i < ORCH_LANES; i++) {
        int d = first[i];
        if (signature >> (8 * d) & 255) {
            asked->resource[asked->resources] = (uint8_t)d;
            asked->level[asked->resources++] = (uint8_t)(signature >> (8 * d));
        }
    }
}

static inline void orch_ask_earlier(orch_asked *asked, int k)
{
    uint8_t resource = asked->resource[k], level = asked->level[k];
    asked->resource[k] = asked->resource[k - 1];
    asked->level[k] = asked->level[k - 1];
    asked->resource[k - 1] = resource;
    asked->level[k - 1] = level;
}

static inline uint64_t orch_signature_in(const orch_block *b, int slot)
{
    uint64_t s = 0;
    for (int d = 0; d < ORCH_LANES; d++)
        s |= (uint64_t)b->level[d][slot] << (8 * d);
    return s;
}

/* The least bound of all signatures of a block. */
ORCH_CLONES
static uint64_t orch_tight_bound(const orch_block *b)
{
    uint64_t bound = 0;
    for (int d = 0; d < ORCH_LANES; d++) {
        uint8_t high = 0;
        for (int i = 0; i < ORCH_BLOCK; i++) /* beyond the agents in use there is 0 */
            high = b->level[d][i] > high ? b->level[d][i] : high;
        bound |= (uint64_t)high << (8 * d);
    }
    return bound;
}

/* ---- the scan, for each kind of processor ---- */

/* Of 64 agents, a bit each, by resource: which have less than is wanted, more than `most`, and more than `only`. */
typedef struct {
    uint64_t lacks[ORCH_LANES], above[ORCH_LANES], nearer[ORCH_LANES];
} orch_lacking;

#define ORCH_SCAN(name) orch_scan_plain_##name
#define ORCH_SCAN_TARGET
#define ORCH_SCAN_WIDTH 8
#include "_placement_scan.h"
#include "_placement_lacks.h"
#undef ORCH_SCAN
#undef ORCH_SCAN_TARGET
#undef ORCH_SCAN_WIDTH

#ifdef ORCH_X86
#define ORCH_SCAN(name) orch_scan_sse2_##name
#define ORCH_SCAN_TARGET
#define ORCH_SCAN_WIDTH 16
#include "_placement_scan.h"
#include "_placement_lacks.h"
#undef ORCH_SCAN
#undef ORCH_SCAN_TARGET
#undef ORCH_SCAN_WIDTH

#define ORCH_SCAN(name) orch_scan_avx2_##name
#define ORCH_SCAN_TARGET __attribute__((target("avx2")))
#define ORCH_SCAN_WIDTH 32
#include "_placement_scan.h"
#include "_placement_lacks.h"
#undef ORCH_SCAN
#undef ORCH_SCAN_TARGET
#undef ORCH_SCAN_WIDTH

#define ORCH_SCAN(name) orch_scan_avx512_##name
#define ORCH_SCAN_TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))
#define ORCH_SCAN_WIDTH 64
#include "_placement_scan.h"
#include "_placement_lacks.h"
#undef ORCH_SCAN
#undef ORCH_SCAN_TARGET
#undef ORCH_SCAN_WIDTH
#endif

/* Kinds of scan, the plainest first. */
enum { ORCH_SCAN_PLAIN, ORCH_SCAN_SSE2, ORCH_SCAN_AVX2, ORCH_SCAN_AVX512 };

typedef struct {
    int64_t (*next)(orch_order *, int64_t, orch_asked *, uint64_t *);
    void (*lacking)(const int32_t *, int, const int32_t *, const int32_t *, const int32_t *, orch_lacking *);
    int32_t (*holding)(const int32_t *, int64_t, int64_t, const int32_t *);
} orch_scan;

static const orch_scan orch_scans[] = {
    {orch_scan_plain_next, orch_scan_plain_lacking, orch_scan_plain_holding},
#ifdef ORCH_X86
    {orch_scan_sse2_next, orch_scan_sse2_lacking, orch_scan_sse2_holding},
    {orch_scan_avx2_next, orch_scan_avx2_lacking, orch_scan_avx2_holding},
    {orch_scan_avx512_next, orch_scan_avx512_lacking, orch_scan_avx512_holding},
#endif
};
static orch_scan orch_scan_by = {orch_scan_plain_next, orch_scan_plain_lacking, orch_scan_plain_holding};

/* Take the best scan that this processor has, at most `kind`. Returns which. All give the same answers. */
static int orch_choose_scan(int kind)
{
    int best = ORCH_SCAN_PLAIN;
#ifdef ORCH_X86
    __builtin_cpu_init();
    best = ORCH_SCAN_SSE2;
    if (__builtin_cpu_supports("avx2"))
        best = ORCH_SCAN_AVX2;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        best = ORCH_SCAN_AVX512;
#endif
    kind = kind < ORCH_SCAN_PLAIN ? ORCH_SCAN_PLAIN : kind < best ? kind : best;
    orch_scan_by = orch_scans[kind];
    return kind;
}

/* ---- memory: 0, or -1 where there is none and nothing has changed ---- */

static void *orch_aligned(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static int orch_order_directory(orch_order *o, int64_t room)
{
    if (room <= o->room)
        return 0;
    room = (room + o->room / 2 + 64) / ORCH_SCAN_GROUP * ORCH_SCAN_GROUP;
    int64_t *low = malloc((size_t)room * sizeof *low);
    uint64_t *most = orch_aligned((size_t)room * sizeof *most);
    int32_t *number = malloc((size_t)room * sizeof *number);
    if (!low || !most || !number) {
        free(low);
        free(most);
        free(number);
        return -1;
    }
    memset(most, 0, (size_t)room * sizeof *most);
    if (o->blocks) {
        memcpy(low, o->low, (size_t)o->blocks * sizeof *low);
        memcpy(most, o->most, (size_t)o->blocks * sizeof *most);
        memcpy(number, o->number, (size_t)o->blocks * sizeof *number);
    }
    free(o->low);
    free(o->most);
    free(o->number);
    o->low = low;
    o->most = most;
    o->number = number;
    o->room = room;
    return 0;
}

/* Makes sure that the pool has `more` blocks to give: what follows then cannot fail. */
static int orch_order_blocks(orch_order *o, int64_t more)
{
    int64_t need = o->pooled - o->spares + more;
    if (orch_order_directory(o, o->blocks + more))
        return -1;
    if (need > o->pool_room) {
        int64_t room = need + o->pool_room / 2 + 16;
        orch_block **pool = realloc(o->pool, (size_t)room * sizeof *pool);
        if (!pool)
            return -1;
        o->pool = pool;
        int32_t *spare = realloc(o->spare, (size_t)room * sizeof *spare);
        if (!spare)
            return -1;
        o->spare = spare;
        o->pool_room = room;
    }
    while (o->pooled < need) {
        orch_block *b = orch_aligned(sizeof *b);
        if (!b)
            return -1;
        memset(b, 0, sizeof *b);
        o->pool[o->pooled] = b;
        o->spare[o->spares++] = (int32_t)o->pooled++;
    }
    return 0;
}

/* Room for agents in rows below `rows`. */
static int orch_order_rows(orch_order *o, int64_t rows)
{
    if (rows <= o->rows)
        return 0;
    int32_t *block = realloc(o->block, (size_t)rows * sizeof *block);
    if (!block)
        return -1;
    o->block = block;
    uint8_t *slot = realloc(o->slot, (size_t)rows);
    if (!slot)
        return -1;
    o->slot = slot;
    for (int64_t i = o->rows; i < rows; i++)
        block[i] = ORCH_NOWHERE;
    o->rows = rows;
    return 0;
}

static void orch_order_free(orch_order *o)
{
    for (int64_t i = 0; i < o->pooled; i++)
        free(o->pool[i]);
    free(o->low);
    free(o->most);
    free(o->number);
    free(o->pool);
    free(o->spare);
    free(o->block);
    free(o->slot);
    memset(o, 0, sizeof *o);
}

/* What it takes of memory. */
static int64_t orch_order_bytes(const orch_order *o)
{
    int64_t directory = sizeof *o->low + sizeof *o->most + sizeof *o->number;
    int64_t pool = sizeof *o->pool + sizeof *o->spare;
    return o->room * directory + o->pool_room * pool + o->pooled * (int64_t)sizeof(orch_block)
        + o->rows * (int64_t)(sizeof *o->block + sizeof *o->slot);
}

/* ---- blocks ---- */

static inline orch_block *orch_block_at(const orch_order *o, int64_t at) { return o->pool[o->number[at]]; }

static inline int64_t orch_place_in(const orch_block *b, int slot)
{
    return orch_place(b->score[slot], (uint32_t)b->row[slot]);
}

/* The position of the block that a place belongs to. There is at least one block. */
static inline int64_t orch_order_find(const orch_order *o, int64_t place)
{
    int64_t at = 0, count = o->blocks;
    while (count > 1) {
        int64_t half = count / 2;
        at += o->low[at + half] <= place ? half : 0;
        count -= half;
    }
    return at;
}

static inline void orch_block_set(orch_order *o, orch_block *b, int32_t number, int slot, int64_t place,
                                  uint64_t signature)
{
    int32_t row = (int32_t)orch_row(place);
    for (int d = 0; d < ORCH_LANES; d++)
        b->level[d][slot] = (uint8_t)(signature >> (8 * d));
    b->score[slot] = (int32_t)(place >> 32);
    b->row[slot] = row;
    o->block[row] = number;
    o->slot[row] = (uint8_t)slot;
}

/* A new, empty block at a position of the directory. */
static orch_block *orch_order_open(orch_order *o, int64_t at, int64_t low)
{
    int64_t after = o->blocks - at;
    memmove(o->low + at + 1, o->low + at, (size_t)after * sizeof *o->low);
    memmove(o->most + at + 1, o->most + at, (size_t)after * sizeof *o->most);
    memmove(o->number + at + 1, o->number + at, (size_t)after * sizeof *o->number);
    o->blocks++;
    o->low[at] = low;
    o->most[at] = 0;
    o->number[at] = o->spare[--o->spares];
    o->empty++;
    orch_block_at(o, at)->loose = 0;
    return orch_block_at(o, at);
}

/* All agents of a block into another, which has room for them. */
static void orch_block_join(orch_order *o, orch_block *to, int32_t number, orch_block *b)
{
    for (int slot = 0; slot < b->count; slot++)
        orch_block_set(o, to, number, to->count++, orch_place_in(b, slot), orch_signature_in(b, slot));
    for (int d = 0; d < ORCH_LANES; d++)
        memset(b->level[d], 0, (size_t)b->count);
    b->count = 0;
    to->loose |= b->loose;
}

/* Blocks whose agents have room in the block before them join it, and leave the directory. One pass. */
static void orch_order_compact(orch_order *o)
{
    int64_t to = -1;
    for (int64_t at = 0; at < o->blocks; at++) {
        orch_block *b = orch_block_at(o, at);
        orch_block *before = to < 0 ? NULL : orch_block_at(o, to);
        if (before ? before->count + b->count <= ORCH_BLOCK_BUILT || b->count == 0 : b->count == 0) {
            if (before) {
                o->most[to] = orch_most(o->most[to], b->count ? o->most[at] : 0);
                orch_block_join(o, before, o->number[to], b);
            }
            o->spare[o->spares++] = o->number[at];
            continue;
        }
        to++;
        o->low[to] = to ? o->low[at] : INT64_MIN;
        o->most[to] = o->most[at];
        o->number[to] = o->number[at];
    }
    for (int64_t at = to + 1; at < o->blocks; at++)
        o->most[at] = 0;
    o->blocks = to + 1;
    o->empty = 0;
}

/* Takes the upper half of a full block into a new one behind it. */
static void orch_order_split(orch_order *o, int64_t at, int64_t coming)
{
    orch_block *b = orch_block_at(o, at);
    int64_t places[ORCH_BLOCK], spare[ORCH_BLOCK];
    for (int i = 0; i < ORCH_BLOCK; i++)
        places[i] = orch_place_in(b, i);
    orch_sort(places, spare, ORCH_BLOCK);
    /* One that comes after all others, as in a sorted run, gets a block of its own: the full one stays full. */
    if (coming > places[ORCH_BLOCK - 1]) {
        orch_order_open(o, at + 1, coming);
        return;
    }
    int64_t middle = places[ORCH_BLOCK / 2];
    orch_block *upper = orch_order_open(o, at + 1, middle);
    o->empty--;
    o->most[at] = 0;
    int kept = 0;
    for (int i = 0; i < ORCH_BLOCK; i++) {
        int64_t place = orch_place_in(b, i);
        uint64_t signature = orch_signature_in(b, i);
        int up = place >= middle;
        orch_block *to = up ? upper : b;
        orch_block_set(o, to, o->number[at + up], up ? upper->count++ : kept++, place, signature);
        o->most[at + up] = orch_most(o->most[at + up], signature);
    }
    for (int d = 0; d < ORCH_LANES; d++)
        memset(b->level[d] + kept, 0, (size_t)(ORCH_BLOCK - kept));
    b->count = kept;
    b->loose = 0;
}

/* An agent comes in. `at`: where to look first, as from the last call. Returns the position that it came to, or -1 where
 * there is no memory: then the order is incomplete. */
static int64_t orch_order_insert(orch_order *o, int64_t place, uint64_t signature, int64_t at)
{
    if (o->spares == 0 && o->blocks >= o->sparse && o->agents < o->blocks * ORCH_BLOCK_SPARSE) {
        orch_order_compact(o);
        o->sparse = o->blocks + o->blocks / 16;
    }
    if (o->spares == 0 && orch_order_blocks(o, 1))
        return -1;
    if (orch_order_directory(o, o->blocks + 1))
        return -1;
    if (o->blocks == 0)
        orch_order_open(o, 0, INT64_MIN);
    if (at < 0 || at >= o->blocks || place < o->low[at] || (at + 1 < o->blocks && place >= o->low[at + 1]))
        at = orch_order_find(o, place);
    if (orch_block_at(o, at)->count == ORCH_BLOCK) {
        orch_order_split(o, at, place);
        at += place >= o->low[at + 1];
    }
    orch_block *b = orch_block_at(o, at);
    o->empty -= b->count == 0;
    orch_block_set(o, b, o->number[at], b->count++, place, signature);
    o->most[at] = orch_most(o->most[at], signature);
    o->agents++;
    return at;
}

/* An agent leaves. */
static void orch_order_remove(orch_order *o, int64_t row)
{
    orch_block *b = o->pool[o->block[row]];
    int slot = o->slot[row], last = --b->count;
    if (slot != last)
        orch_block_set(o, b, o->block[row], slot, orch_place_in(b, last), orch_signature_in(b, last));
    for (int d = 0; d < ORCH_LANES; d++)
        b->level[d][last] = 0;
    b->loose = 1;
    o->block[row] = ORCH_NOWHERE;
    o->agents--;
    o->empty += last == 0;
}

/* All agents anew, from their places in ascending order. */
ORCH_CLONES
static int orch_order_build(orch_order *o, const int64_t *places, int64_t count, const int32_t *free_)
{
    for (int64_t i = 0; i < o->rows; i++)
        o->block[i] = ORCH_NOWHERE;
    for (int64_t at = 0; at < o->blocks; at++) {
        orch_block *b = orch_block_at(o, at);
        memset(b->level, 0, sizeof b->level);
        b->count = 0;
        o->spare[o->spares++] = o->number[at];
        o->most[at] = 0;
    }
    o->blocks = o->agents = o->empty = 0;
    if (orch_order_blocks(o, (count + ORCH_BLOCK_BUILT - 1) / ORCH_BLOCK_BUILT))
        return -1;
    for (int64_t i = 0; i < count; i += ORCH_BLOCK_BUILT) {
        int64_t at = o->blocks;
        orch_block *b = orch_order_open(o, at, at ? places[i] : INT64_MIN);
        for (int64_t k = i; k < count && k < i + ORCH_BLOCK_BUILT; k++) {
            uint64_t signature = orch_signature(free_ + ORCH_LANES * orch_row(places[k]));
            orch_block_set(o, b, o->number[at], b->count++, places[k], signature);
        }
        o->most[at] = orch_tight_bound(b);
    }
    o->empty = 0;
    o->agents = count;
    return 0;
}

#endif
