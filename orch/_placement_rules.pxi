# Rules between pods, as columns: which counters count a shape's pods, and what its rules ask of them.

from libc.stdlib cimport calloc, free


cdef extern from "_placement_rules.h" nogil:
    const int ORCH_RULES_MOST
    const int ORCH_COUNTERS_MOST
    cdef enum orch_path:
        ORCH_WALK
        ORCH_EVEN
        ORCH_EACH
    cdef enum orch_operator:
        ORCH_MAX
        ORCH_LEAST
        ORCH_SAME
        ORCH_SOME
    ctypedef struct orch_counter:
        const int32_t* codes
        int32_t* counts
        uint8_t* offered
        int64_t values, in_use, offered_for
    ctypedef struct orch_rule:
        orch_counter* counter
        int32_t operator_, limit, counted
    ctypedef struct orch_preference:
        orch_counter* counter
        int32_t near_, counted, single
    ctypedef struct orch_rules:
        int rules, counters, preferences, path, by_quota
        orch_preference* preference
        orch_rule* rule
        orch_counter** counter
        const orch_rule* least
        int64_t* quota
        int64_t* base
        int64_t* start
        int64_t* filled
        int32_t* deal
    void orch_rules_count(orch_rules* r, int64_t row, int64_t times)
    void orch_rules_refresh(orch_rules* r)
    int orch_rules_bulk(const orch_rules* r, int64_t agents, int64_t count, int64_t part)
    void orch_rules_offer(orch_rules* r, int64_t rows, const uint8_t* state, const uint8_t* allowed, int64_t mask)


cdef extern from "_placement_flat.h" nogil:
    ctypedef struct orch_flat:
        int64_t count
        int live
    const int ORCH_FLAT_FROM
    const int ORCH_FLAT_STAYS
    void orch_flat_free(orch_flat* f)
    int orch_flat_open(orch_flat* f, const orch_order* o)
    int orch_flat_close(orch_flat* f, orch_order* o, const int32_t* free_)
    int64_t orch_fill_flat(orch_flat* f, int32_t* have, const int64_t* weight, const int32_t* want,
                           const uint8_t* allowed, int64_t count, int32_t* out, orch_rules* rules)


cdef extern from "_placement_ruled.h" nogil:
    ctypedef struct orch_ground:
        orch_order* order
        orch_moves* moves
        int32_t* free_
        const int32_t* total
        const int32_t* largest
        const uint8_t* state
        const int64_t* weight
        int64_t rows
        int dims, policy
    int64_t orch_walk(const orch_ground* g, const int32_t* want, const uint8_t* allowed, int64_t count, int32_t* out,
                      orch_rules* r)
    int64_t orch_fill_ruled(const orch_ground* g, const int32_t* want, const uint8_t* allowed, int64_t count,
                            int32_t* out, orch_rules* r)
    int64_t orch_room_ruled(const orch_ground* g, const int32_t* want, const uint8_t* allowed, int64_t count,
                            int32_t* out, orch_rules* r)
    int orch_undo(const orch_ground* g, const int32_t* want, orch_rules* r, const int32_t* agents, int64_t count)


RULES_MOST, COUNTERS_MOST = ORCH_RULES_MOST, ORCH_COUNTERS_MOST
OPERATOR_MAX, OPERATOR_LEAST, OPERATOR_SAME, OPERATOR_SOME = ORCH_MAX, ORCH_LEAST, ORCH_SAME, ORCH_SOME
PATH_WALK, PATH_EVEN, PATH_EACH = ORCH_WALK, ORCH_EVEN, ORCH_EACH


cdef class RuleTable:
    """The rules of S shapes over C counters. Arguments are as `orch.placement.Rules` has checked them.

    codes int32[A, N]; attribute int32[C], the row of codes of each counter; counts int32[V] of all counters, changed in
    place, that of counter c from first[c] to first[c + 1]. Rules of shape s lie at rule_first[s] to rule_first[s + 1] of
    rules int32[M, 4] (counter, operator, limit, counted); counters of its pods at counted_first[s] and on of counted int32;
    its preferences at preferred_first[s] and on of preferred int32[Q, 4] (counter, near, counted, single).
    """

    cdef orch_counter* counter
    cdef int64_t counters
    cdef const int32_t[:, ::1] codes
    cdef int32_t[::1] counts
    cdef uint8_t[::1] offered
    cdef const int64_t[::1] rule_first, counted_first, preferred_first
    cdef const int32_t[:, ::1] rules, preferred
    cdef const int32_t[::1] counted
    cdef const uint8_t[::1] path
    cdef int64_t[:, ::1] scratch
    cdef int32_t[::1] deal
    cdef int64_t most_values

    def __cinit__(self):
        self.counter = NULL

    def __dealloc__(self):
        free(self.counter)

    def __init__(self, const int32_t[:, ::1] codes, const int32_t[::1] attribute, int32_t[::1] counts,
                 const int64_t[::1] first, const int64_t[::1] rule_first, const int32_t[:, ::1] rules,
                 const int64_t[::1] counted_first, const int32_t[::1] counted, const int64_t[::1] preferred_first,
                 const int32_t[:, ::1] preferred, const uint8_t[::1] path):
        cdef int64_t c, v, most = 0
        self.codes, self.counts = codes, counts
        self.offered = np.zeros(max(counts.shape[0], 1), np.uint8)
        self.rule_first, self.rules, self.counted_first, self.counted = rule_first, rules, counted_first, counted
        self.preferred_first, self.preferred, self.path = preferred_first, preferred, path
        self.counters = attribute.shape[0]
        self.counter = <orch_counter*>calloc(self.counters + 1, sizeof(orch_counter))
        if self.counter == NULL:
            raise MemoryError(f"no memory for {self.counters} counters")
        for c in range(self.counters):
            self.counter[c].values = first[c + 1] - first[c]
            self.counter[c].codes = &codes[attribute[c], 0] if codes.shape[1] > 0 else NULL
            if self.counter[c].values > 0:
                self.counter[c].counts = &counts[first[c]]
                self.counter[c].offered = &self.offered[first[c]]
            for v in range(first[c], first[c + 1]):
                self.counter[c].in_use += counts[v] > 0
            most = max(most, self.counter[c].values)
        self.most_values = most
        self.scratch = np.empty((4, most + 1), np.int64)
        self.deal = np.empty(1, np.int32)

    cdef start(self, int64_t pods):
        """Before a match: agents may have changed. pods: the most in one of its rows."""
        cdef int64_t c
        if self.deal.shape[0] < pods + self.most_values + 1:
            self.deal = np.empty(pods + self.most_values + 1, np.int32)
        for c in range(self.counters):
            self.counter[c].offered_for = -1

    cdef bint view(self, int32_t s, orch_rules* r) noexcept nogil:
        """The rules of a shape. Whether there are any, or preferences, or counters of its pods."""
        cdef int64_t i, rules = self.rule_first[s + 1] - self.rule_first[s]
        cdef const int32_t* rule
        r.rules = <int>rules
        r.counters = <int>(self.counted_first[s + 1] - self.counted_first[s])
        r.preferences = <int>(self.preferred_first[s + 1] - self.preferred_first[s])
        r.path = self.path[s]
        r.by_quota = 0
        r.least = NULL
        for i in range(rules):
            rule = &self.rules[self.rule_first[s] + i, 0]
            r.rule[i].counter = &self.counter[rule[0]]
            r.rule[i].operator_ = rule[1]
            r.rule[i].limit = rule[2]
            r.rule[i].counted = rule[3]
            if rule[1] == ORCH_LEAST and r.least == NULL:
                r.least = &r.rule[i]
        for i in range(r.counters):
            r.counter[i] = &self.counter[self.counted[self.counted_first[s] + i]]
        for i in range(r.preferences):
            rule = &self.preferred[self.preferred_first[s] + i, 0]
            r.preference[i].counter = &self.counter[rule[0]]
            r.preference[i].near_, r.preference[i].counted, r.preference[i].single = rule[1], rule[2], rule[3]
        r.quota, r.base = &self.scratch[0, 0], &self.scratch[1, 0]
        r.start, r.filled = &self.scratch[2, 0], &self.scratch[3, 0]
        r.deal = &self.deal[0]
        return r.rules > 0 or r.counters > 0 or r.preferences > 0

    def uncount(self, const int32_t[::1] shape, const int32_t[::1] agent, const int64_t[::1] offset,
                const int64_t[::1] placed):
        """Undo the counting of a match: of demand row d, pods of shape[d] on agent[offset[d]:] up to placed[d]."""
        cdef int64_t d, i
        cdef orch_rules r
        with nogil:
            for d in range(shape.shape[0]):
                if self.view(shape[d], &r):
                    for i in range(offset[d], offset[d] + placed[d]):
                        orch_rules_count(&r, agent[i], -1)
