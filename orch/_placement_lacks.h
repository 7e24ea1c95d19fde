/* What 64 agents lack, one bit each. Included by _placement_order.h once for each kind of processor, as _placement_scan.h is,
 * with the same names of this kind.
 */

#if ORCH_SCAN_WIDTH == 64
#define LACKS_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define LACKS_MORE(a, b) ((uint8_t)_mm256_cmpgt_epi32_mask(a, b))
#define LACKS_BITS(bytes, d) \
    ((uint64_t)_mm512_test_epi8_mask(_mm512_load_si512((const void *)(bytes)), _mm512_set1_epi8((char)(1 << (d)))))
typedef __m256i ORCH_SCAN(agent);
#elif ORCH_SCAN_WIDTH == 32
#define LACKS_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define LACKS_MORE(a, b) ((uint8_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))))
#define LACKS_BITS(bytes, d) \
    ((uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(_mm256_load_si256((const __m256i *)(bytes)), 7 - (d))))
typedef __m256i ORCH_SCAN(agent);
#elif ORCH_SCAN_WIDTH == 16
#define LACKS_LOAD(p) ORCH_SCAN(agent_at)(p)
#define LACKS_MORE(a, b) ORCH_SCAN(more)(a, b)
#define LACKS_BITS(bytes, d) \
    ((uint64_t)_mm_movemask_epi8(_mm_slli_epi16(_mm_load_si128((const __m128i *)(bytes)), 7 - (d))))
typedef struct {
    __m128i low, high;
} ORCH_SCAN(agent);
static inline ORCH_SCAN(agent) ORCH_SCAN(agent_at)(const int32_t *p)
{
    ORCH_SCAN(agent) a = {_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 4))};
    return a;
}
static inline uint8_t ORCH_SCAN(more)(ORCH_SCAN(agent) a, ORCH_SCAN(agent) b)
{
    int low = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(a.low, b.low)));
    int high = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(a.high, b.high)));
    return (uint8_t)(low | high << 4);
}
#else
#define LACKS_LOAD(p) (p)
#define LACKS_MORE(a, b) ((uint8_t)orch_short(b, a))
#define LACKS_BITS(bytes, d) ORCH_SCAN(bits)(bytes, d)
typedef const int32_t *ORCH_SCAN(agent);
/* Bit d of eight bytes -> eight bits in a row; the multiplication adds no two of them. */
static inline uint64_t ORCH_SCAN(bits)(const uint8_t *bytes, int d)
{
    uint64_t x;
    memcpy(&x, bytes, sizeof x);
    return ((x >> d) & 0x0101010101010101ull) * 0x0102040810204080ull >> 56;
}
#endif

/* 64 bytes, one an agent -> for each bit of them 64 bits. */
ORCH_SCAN_TARGET
static inline void ORCH_SCAN(turned)(const uint8_t *bytes, uint64_t *bits)
{
    for (int d = 0; d < ORCH_LANES; d++) {
        bits[d] = 0;
        for (int i = 0; i < 64; i += ORCH_SCAN_WIDTH)
            bits[d] |= LACKS_BITS(bytes + i, d) << i;
    }
}

/* See orch_lacking. `have` is that of `n` agents, at most 64. */
ORCH_SCAN_TARGET
static void ORCH_SCAN(lacking)(const int32_t *have, int n, const int32_t *want, const int32_t *most, const int32_t *only,
                               orch_lacking *out)
{
    uint8_t lacks[64] __attribute__((aligned(64))) = {0};
    uint8_t above[64] __attribute__((aligned(64))) = {0};
    uint8_t nearer[64] __attribute__((aligned(64))) = {0};
    const ORCH_SCAN(agent) w = LACKS_LOAD(want), m = LACKS_LOAD(most), o = LACKS_LOAD(only);
    for (int i = 0; i < n; i++) {
        const ORCH_SCAN(agent) h = LACKS_LOAD(have + ORCH_LANES * i);
        lacks[i] = LACKS_MORE(w, h);
        above[i] = LACKS_MORE(h, m);
        nearer[i] = LACKS_MORE(h, o);
    }
    ORCH_SCAN(turned)(lacks, out->lacks);
    ORCH_SCAN(turned)(above, out->above);
    ORCH_SCAN(turned)(nearer, out->nearer);
}

/* How many of `rows` agents, `stride` values each, have as much as is wanted of everything. Of what lies beyond those values
 * nothing is wanted. */
ORCH_SCAN_TARGET
static int32_t ORCH_SCAN(holding)(const int32_t *have, int64_t stride, int64_t rows, const int32_t *want)
{
    const ORCH_SCAN(agent) w = LACKS_LOAD(want);
    int32_t count = 0;
    for (int64_t i = 0; i < rows; i++, have += stride)
        count += LACKS_MORE(w, LACKS_LOAD(have)) == 0;
    return count;
}

#undef LACKS_LOAD
#undef LACKS_MORE
#undef LACKS_BITS
