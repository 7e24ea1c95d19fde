/* Scanning levels: which agents of which block may hold a pod. Included by _placement_order.h once for each kind of
 * processor, with ORCH_SCAN(name) naming this kind's functions, ORCH_SCAN_TARGET its attribute, and ORCH_SCAN_WIDTH the
 * bytes that it compares at once: 64 (AVX-512), 32 (AVX2), 16 (SSE2), or 8 (plain C).
 */

#if ORCH_SCAN_WIDTH == 64
typedef __m512i ORCH_SCAN(vector);
#define SCAN_LOAD(p) _mm512_load_si512((const void *)(p))
#define SCAN_BYTES(x) _mm512_set1_epi8((char)(x))
#define SCAN_BYTES_GE(s, w) ((uint64_t)_mm512_cmpge_epu8_mask(s, w))
#define SCAN_ALL(x) _mm512_set1_epi64((long long)(x))
#define SCAN_COVERS(s, w) ((uint64_t)_mm512_cmpeq_epi64_mask(_mm512_max_epu8(s, w), s))
#elif ORCH_SCAN_WIDTH == 32
typedef __m256i ORCH_SCAN(vector);
#define SCAN_LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define SCAN_BYTES(x) _mm256_set1_epi8((char)(x))
#define SCAN_BYTES_GE(s, w) ((uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(s, w), s)))
#define SCAN_ALL(x) _mm256_set1_epi64x((long long)(x))
#define SCAN_COVERS(s, w) \
    ((uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_max_epu8(s, w), s))))
#elif ORCH_SCAN_WIDTH == 16
typedef __m128i ORCH_SCAN(vector);
#define SCAN_LOAD(p) _mm_load_si128((const __m128i *)(p))
#define SCAN_BYTES(x) _mm_set1_epi8((char)(x))
#define SCAN_BYTES_GE(s, w) ((uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(s, w), s)))
#define SCAN_ALL(x) _mm_set1_epi64x((long long)(x))
#define SCAN_COVERS(s, w) ORCH_SCAN(halves)(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(s, w), s)))
/* 16 bits of equal bytes -> one bit for each whole half. */
static inline uint64_t ORCH_SCAN(halves)(int same)
{
    return (uint64_t)((same & 255) == 255) | (uint64_t)((same >> 8) == 255) << 1;
}
#else
typedef uint64_t ORCH_SCAN(vector);
#define SCAN_LOAD(p) ORCH_SCAN(load)(p)
#define SCAN_BYTES(x) ((uint64_t)(x) * 0x0101010101010101ull)
/* Bit 7 of each byte -> eight bits in a row; the multiplication adds no two of them. */
#define SCAN_BYTES_GE(s, w) ((orch_bytes_ge(s, w) >> 7) * 0x0102040810204080ull >> 56)
#define SCAN_ALL(x) (x)
#define SCAN_COVERS(s, w) ((uint64_t)orch_covers(s, w))
static inline uint64_t ORCH_SCAN(load)(const void *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}
#endif
#define SCAN_BOUNDS (ORCH_SCAN_WIDTH / 8)

/* Bit i of found[i / 64] set where agent i of a block has the levels that are asked. Resource by resource, until none is
 * left: the one that ended it is asked earlier next time. */
ORCH_SCAN_TARGET
static inline void ORCH_SCAN(block)(const orch_block *b, orch_asked *asked, uint64_t *found)
{
    uint64_t left[2] = {~0ull, ~0ull}; /* what is not in use has level 0, and what is asked is more */
    if (asked->resources == 0)
        orch_in_use(b->count, left);
    for (int k = 0; k < asked->resources; k++) {
        const uint8_t *level = b->level[asked->resource[k]];
        const ORCH_SCAN(vector) w = SCAN_BYTES(asked->level[k]);
        for (int half = 0; half < 2; half++) {
            uint64_t bits = 0;
            for (int i = 0; i < 64; i += ORCH_SCAN_WIDTH)
                bits |= SCAN_BYTES_GE(SCAN_LOAD(level + 64 * half + i), w) << i;
            left[half] &= bits;
        }
        if ((left[0] | left[1]) == 0) {
            if (k > 0)
                orch_ask_earlier(asked, k);
            break;
        }
    }
    found[0] = left[0];
    found[1] = left[1];
}

/* Bit i set where the bound of the block at position group + i covers the request; for ORCH_SCAN_GROUP positions. */
ORCH_SCAN_TARGET
static inline uint64_t ORCH_SCAN(bounds)(const orch_order *o, int64_t group, uint64_t signature)
{
    const ORCH_SCAN(vector) w = SCAN_ALL(signature);
    uint64_t bits = 0;
    for (int i = 0; i < ORCH_SCAN_GROUP; i += SCAN_BOUNDS)
        bits |= SCAN_COVERS(SCAN_LOAD(o->most + group + i), w) << i;
    return o->blocks - group < ORCH_SCAN_GROUP ? bits & ((1ull << (o->blocks - group)) - 1) : bits;
}

/* The next position from `from` on whose block may hold the pod, with its agents in `found`; the count of blocks if none.
 * A bound that turns out too high is lowered on the way.
 */
ORCH_SCAN_TARGET
static int64_t ORCH_SCAN(next)(orch_order *o, int64_t from, orch_asked *asked, uint64_t *found)
{
    int64_t group = from - from % ORCH_SCAN_GROUP;
    uint64_t skip = ~0ull << (from - group);
    for (; group < o->blocks; group += ORCH_SCAN_GROUP, skip = ~0ull) {
        for (uint64_t bits = ORCH_SCAN(bounds)(o, group, asked->signature) & skip; bits; bits &= bits - 1) {
            int64_t at = group + __builtin_ctzll(bits);
            if (bits & (bits - 1)) {
                const orch_block *after = o->pool[o->number[group + __builtin_ctzll(bits & (bits - 1))]];
                __builtin_prefetch(after->level[asked->resource[0]]);
                __builtin_prefetch(after->level[asked->resource[0]] + 64);
            }
            orch_block *b = o->pool[o->number[at]];
            ORCH_SCAN(block)(b, asked, found);
            if (found[0] | found[1])
                return at;
            if (b->loose) {
                o->most[at] = orch_tight_bound(b);
                b->loose = 0;
            }
        }
    }
    return o->blocks;
}

#undef SCAN_LOAD
#undef SCAN_BYTES
#undef SCAN_BYTES_GE
#undef SCAN_ALL
#undef SCAN_COVERS
#undef SCAN_BOUNDS
