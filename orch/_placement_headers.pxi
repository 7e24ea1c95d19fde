# What _placement.pyx takes from the C headers of the kernel.

cdef extern from "_placement_kernel.h" nogil:
    const int ORCH_LANES
    const int ORCH_USABLE
    const int ORCH_DRAINED
    const int ORCH_SCORE_BITS
    const int ORCH_SCORE_MOST
    const int ORCH_SCORE_END
    int orch_fits(const int32_t* have, const int32_t* want)
    unsigned orch_short(const int32_t* have, const int32_t* want)
    void __builtin_prefetch(const void* address)
    int64_t orch_miss(int32_t have, int32_t want)
    int __builtin_ctz(unsigned bits)
    int __builtin_popcount(unsigned bits)
    int64_t orch_times(const int32_t* have, const int32_t* want, int64_t cap)
    void orch_charge(int32_t* have, const int32_t* want, int64_t times)
    int32_t orch_score(const int32_t* have, const int64_t* weight)
    int32_t orch_spread_score(const int32_t* have, const int32_t* total)
    int64_t orch_place(int32_t score, int64_t row)
    int64_t orch_row(int64_t place)
    int64_t orch_next_row(int64_t start, int64_t stop, const int32_t* have, const uint8_t* state,
                          const int32_t* want, const uint8_t* allowed)
    void orch_sort(int64_t* places, int64_t* spare, int64_t count)
    void orch_sift(int64_t* heap, int64_t count, int64_t i)


cdef extern from "_placement_order.h" nogil:
    ctypedef struct orch_order:
        int64_t blocks, agents
        int32_t* block
        uint8_t[8] first
    const int ORCH_NOWHERE
    int orch_choose_scan(int kind)
    uint64_t orch_signature(const int32_t* have)
    int orch_order_rows(orch_order* o, int64_t rows)
    int64_t orch_order_insert(orch_order* o, int64_t place, uint64_t signature, int64_t at)
    void orch_order_remove(orch_order* o, int64_t row)
    int orch_order_build(orch_order* o, const int64_t* places, int64_t count, const int32_t* have)
    void orch_order_free(orch_order* o)
    int64_t orch_order_bytes(const orch_order* o)


cdef extern from "_placement_fill.h" nogil:
    ctypedef struct orch_moves:
        int64_t* places
        int64_t* spare
        int64_t count, room
    int orch_moves_reserve(orch_moves* m, int64_t more)
    void orch_moves_free(orch_moves* m)
    int64_t orch_fill_best(orch_order* o, int32_t* have, const int64_t* weight, const int32_t* want,
                           const uint8_t* allowed, int64_t count, int32_t* out, orch_moves* moves)
