# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled placement core: arrays in, arrays out, no Python object per pod or agent.

Called only by `orch.placement`, which checks what comes in and gives names to what comes out. Every answer equals
that of the plain sequential scan in `orch/placement/reference.py`. Loops run without the GIL.

Pods come as rows of equal pods (a shape and a count), a million in one row or one in each. Best fit and first fit stay
on an agent until it is full, so a row is one walk over the agents that hold its pod, each filled by one division.
Best fit walks the order of `_placement_order.h`, which a charge, a release or a new agent changes in place. Spread takes
agents from a heap, one pod at a time.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset


# What the C headers give, and the rules of shapes: parts of this module, in files of their own.
include "_placement_headers.pxi"
include "_placement_rules.pxi"


cdef extern from "_placement_why.h" nogil:
    cdef enum orch_reason:
        ORCH_PLACED
        ORCH_NO_AGENTS
        ORCH_NOT_USABLE
        ORCH_GANG
        ORCH_QUOTA
        ORCH_STALE_SESSION
        ORCH_UNKNOWN_AGENT
        ORCH_TOO_FEW
    const int C_P_CONSTRAINT "P_CONSTRAINT"
    const int C_P_RULE "P_RULE"
    const int C_P_RESOURCE "P_RESOURCE"
    const int C_ROW "WHY_ROW"
    const int C_AGENTS "WHY_AGENTS"
    const int C_FEASIBLE "WHY_FEASIBLE"
    const int C_EMPTY "WHY_EMPTY"
    const int C_ROOM "WHY_ROOM"
    const int C_NEAREST "WHY_NEAREST"
    const int C_PREDICATE "WHY_PREDICATE"
    const int C_NEAREST_FREE "WHY_NEAREST_FREE"
    const int C_REASON "WHY_REASON"
    const int C_RULED "WHY_RULED"
    const int C_ONLY "WHY_ONLY"
    const int C_ONLY_FREE "WHY_ONLY_FREE"
    const int C_MOST "WHY_MOST"
    const int C_TOTAL "WHY_TOTAL"
    const int C_SHORT "WHY_SHORT"
    const int C_LEFT "WHY_LEFT"
    const int C_WIDTH "WHY_WIDTH"
    ctypedef struct orch_agents:
        const int32_t* free_
        const int32_t* total
        const uint8_t* state
        int64_t rows
        int dims
        const int32_t* largest
        const int32_t* held_rows
        const int32_t* held
        int64_t held_count
    int64_t orch_room(const orch_agents* a, const int32_t* want, const uint8_t* allowed, int64_t cap)
    void orch_explain(const orch_agents* a, const int32_t* want, const uint8_t* allowed, const orch_rules* rules,
                      int32_t gang, int64_t room, int32_t* why)
    void orch_explain_headroom(const int32_t* want, const int64_t* left, int32_t* why)


WHY_ROW, WHY_AGENTS, WHY_FEASIBLE, WHY_EMPTY, WHY_ROOM = C_ROW, C_AGENTS, C_FEASIBLE, C_EMPTY, C_ROOM
WHY_NEAREST, WHY_PREDICATE, WHY_NEAREST_FREE, WHY_REASON = C_NEAREST, C_PREDICATE, C_NEAREST_FREE, C_REASON
WHY_RULED, WHY_MOST, WHY_TOTAL, WHY_WIDTH = C_RULED, C_MOST, C_TOTAL, C_WIDTH
WHY_SHORT, WHY_LEFT, WHY_ONLY, WHY_ONLY_FREE = C_SHORT, C_LEFT, C_ONLY, C_ONLY_FREE
PREDICATE_CONSTRAINT, PREDICATE_RULE, PREDICATE_RESOURCE = C_P_CONSTRAINT, C_P_RULE, C_P_RESOURCE
LANES = ORCH_LANES
SCORE_BITS = ORCH_SCORE_BITS
SCORE_MOST = ORCH_SCORE_MOST

SCAN_MOST = 3  # see ORCH_SCAN_AVX512


def choose_scan(int kind):
    """Scan by the best instructions that this processor has, at most `kind` (0 plain C, 1 SSE2, 2 AVX2, 3 AVX-512).

    Returns which. The answers are the same; for tests and for comparing.
    """
    return orch_choose_scan(kind)


choose_scan(SCAN_MOST)

# Rows of a demand that are fetched before their turn.
cdef enum:
    AHEAD = 8

cdef enum:
    TOLD_MOST = 0xffffffff  # what `told` holds

cdef enum:
    BEST_FIT = 0
    FIRST_FIT = 1

cdef class Index:
    """Free columns of agents and the orders over them. Rows are agents; `dims` is R, 4 to 8.

    Arguments are as `orch.placement.Cluster` has checked them: right dtype, shape and range, C-contiguous.
    """

    cdef readonly int dims
    cdef readonly int64_t rows
    cdef public int64_t clock              # counts matches and updates
    cdef int32_t[:, ::1] free_             # [capacity, LANES]
    cdef int32_t[:, ::1] total             # [capacity, dims], and LANES values more in memory: rows are read LANES wide
    cdef uint8_t[::1] state                # 0 no agent, 1 not usable, 2 usable, 3 draining
    cdef uint32_t[::1] told                # clock of the last update of a row, less `told_from`, or 0
    cdef int64_t told_from
    cdef orch_order order                  # usable agents by (score, row)
    cdef orch_moves moves                  # scratch: places to be sorted
    cdef orch_flat flat                    # within a match: stands for the order while it is live
    cdef bint order_ok
    cdef bint most_ok
    cdef int64_t[8] weight
    cdef int32_t[8] most                   # largest total of any agent

    def __cinit__(self):
        cdef int d
        memset(&self.order, 0, sizeof(self.order))
        memset(&self.moves, 0, sizeof(self.moves))
        memset(&self.flat, 0, sizeof(self.flat))
        for d in range(ORCH_LANES):
            self.order.first[d] = d

    def __dealloc__(self):
        orch_order_free(&self.order)
        orch_moves_free(&self.moves)
        orch_flat_free(&self.flat)

    def __init__(self, int dims):
        self.dims = dims
        self.rows = 0
        self._reserve(1)  # never empty: the address of the first row is taken

    cdef _reserve(self, int64_t capacity):
        """Arrays of `capacity` rows, the present rows copied."""
        cdef int64_t n = self.rows
        free_ = np.zeros((capacity, ORCH_LANES), np.int32)
        total = np.zeros(capacity * self.dims + ORCH_LANES, np.int32)[: capacity * self.dims].reshape(-1, self.dims)
        state, told = np.zeros(capacity, np.uint8), np.zeros(capacity, np.uint32)
        if n > 0:
            free_[:n], total[:n], state[:n], told[:n] = self.free_[:n], self.total[:n], self.state[:n], self.told[:n]
        self.free_, self.total, self.state, self.told = free_, total, state, told
        if orch_order_rows(&self.order, capacity) != 0:
            raise MemoryError(f"no memory for the order of {capacity} agents")

    def grow(self, int64_t rows):
        """Rows up to `rows`, new ones without an agent."""
        if rows > self.state.shape[0]:
            self._reserve(max(rows, self.state.shape[0] * 3 // 2))
        self.rows = max(rows, self.rows)

    def put(self, const int32_t[::1] rows, const int32_t[:, ::1] free_, const int32_t[:, ::1] total,
            const uint8_t[::1] usable):
        """Set agents. `total` may have no rows: totals stay. An agent without any total is none.

        usable: 0 no, 1 yes, 2 draining.
        """
        cdef int64_t i, row, k = rows.shape[0]
        cdef int d
        cdef bint totals = total.shape[0] == k
        cdef uint8_t state
        self.clock += 1
        with nogil:
            if self.clock - self.told_from > TOLD_MOST:
                self._forget()
            if k > self.rows // 4:
                self.order_ok = False  # to build it anew costs less than so many moves
            for i in range(k):
                row = rows[i]
                self._leave(row)
                for d in range(self.dims):
                    self.free_[row, d] = free_[i, d]
                    if totals and self.total[row, d] != total[i, d]:
                        self.total[row, d] = total[i, d]
                        self.most_ok = False
                        if total[i, d] > self.most[d]:
                            self.order_ok = False  # a new largest agent: every score changes
                state = 0
                for d in range(self.dims):
                    if self.total[row, d] > 0:
                        state = usable[i] + 1
                self.state[row] = state
                self.told[row] = <uint32_t>(self.clock - self.told_from)
                self._enter(row)

    cdef void _forget(self) noexcept nogil:
        """What was told more than half of TOLD_MOST ago is as if told then: a match of before takes it as told since."""
        cdef int64_t row, told_from = self.clock - TOLD_MOST // 2
        for row in range(self.rows):
            self.told[row] = <uint32_t>max(self.told_from + <int64_t>self.told[row] - told_from, <int64_t>0)
        self.told_from = told_from

    cdef void _leave(self, int64_t row) noexcept nogil:
        """Take a row out of the order, if it is in it; called before its columns change."""
        if self.order_ok and self.order.block[row] != ORCH_NOWHERE:
            orch_order_remove(&self.order, row)

    cdef void _enter(self, int64_t row) noexcept nogil:
        cdef const int32_t* have = &self.free_[row, 0]
        if not self.order_ok or self.state[row] != ORCH_USABLE:
            return
        if orch_order_insert(&self.order, orch_place(orch_score(have, self.weight), row), orch_signature(have), -1) < 0:
            self.order_ok = False  # without memory: the next match builds it, or says so

    def hold(self, const int32_t[::1] rows, const int32_t[:, ::1] amounts, int sign):
        """Take amounts int32[k, LANES] from what is free on rows, never below 0 (sign 1), or give them back (-1).

        Returns what was taken. Rows are distinct.
        """
        cdef int64_t i, k = rows.shape[0]
        cdef int d
        taken = np.zeros((k, ORCH_LANES), np.int32)
        cdef int32_t[:, ::1] took = taken
        with nogil:
            if k > self.rows // 4:
                self.order_ok = False
            for i in range(k):
                self._leave(rows[i])
                for d in range(self.dims):
                    took[i, d] = amounts[i, d]
                    if sign > 0 and amounts[i, d] > self.free_[rows[i], d]:
                        took[i, d] = self.free_[rows[i], d]
                    self.free_[rows[i], d] -= sign * took[i, d]
                self._enter(rows[i])
        return taken

    cdef void _refresh(self) noexcept nogil:
        """Weights from the largest totals; after totals changed these may have, and then every score has."""
        cdef int64_t row
        cdef int d
        cdef int32_t[8] most
        if self.most_ok:
            return
        memset(most, 0, sizeof(most))
        for row in range(self.rows):
            for d in range(self.dims):
                if self.total[row, d] > most[d]:
                    most[d] = self.total[row, d]
        for d in range(ORCH_LANES):
            if most[d] != self.most[d] or self.weight[d] == 0:
                self.order_ok = False
            self.most[d] = most[d]
            self.weight[d] = (<int64_t>ORCH_SCORE_MOST << ORCH_SCORE_BITS) // (most[d] if most[d] > 0 else 1)
        self.most_ok = True

    cdef int _build(self) except -1 nogil:
        """The order anew, if it does not stand. Raises MemoryError."""
        cdef int64_t row, n = 0
        if self.order_ok:
            return 0
        if self.flat.live:
            if orch_flat_close(&self.flat, &self.order, &self.free_[0, 0]) != 0:
                return self._no_memory()
            self.order_ok = True
            return 0
        self.moves.count = 0
        if orch_moves_reserve(&self.moves, self.rows + 1) != 0:
            return self._no_memory()
        for row in range(self.rows):
            if self.state[row] == ORCH_USABLE:
                self.moves.places[n] = orch_place(orch_score(&self.free_[row, 0], self.weight), row)
                n += 1
        if n > 0:
            orch_sort(self.moves.places, self.moves.spare, n)
        if orch_order_build(&self.order, self.moves.places, n, &self.free_[0, 0]) != 0:
            return self._no_memory()
        orch_moves_free(&self.moves)  # a run moves fewer
        self.order_ok = True
        return 0

    cdef int _ready(self, int policy, bint bulk) except -1 nogil:
        """The order as the next row of a match takes it: blocks, for a bulk row flat, none where nothing looks at it."""
        if policy != BEST_FIT:
            orch_flat_free(&self.flat)
        elif not bulk:
            self._build()
        elif not self.flat.live:
            self._build()
            self.order_ok = False
            if orch_flat_open(&self.flat, &self.order) != 0:
                self._no_memory()
        return 0

    cdef int _no_memory(self) except -1 nogil:
        self.order_ok = False
        orch_flat_free(&self.flat)
        with gil:
            raise MemoryError(f"no memory for the order of {self.rows} agents")

    @property
    def nbytes(self):
        """Bytes that the index takes now, its columns included."""
        arrays = [np.asarray(self.free_), np.asarray(self.total), np.asarray(self.state), np.asarray(self.told)]
        return sum([array.nbytes for array in arrays]) + orch_order_bytes(&self.order) + 16 * self.moves.room

    def columns(self):
        """Copies (free int32[N, R], total int32[N, R], state uint8[N])."""
        n, r = self.rows, self.dims
        return (np.array(self.free_)[:n, :r].copy(), np.array(self.total)[:n].copy(),
                np.array(self.state)[:n].copy())

    def totals(self, const int32_t[::1] rows):
        """int32[k, R]: the totals of rows."""
        return np.asarray(self.total)[np.asarray(rows)]

    def frees(self, const int32_t[::1] rows):
        """int32[k, R]: what is free in rows."""
        return np.asarray(self.free_)[np.asarray(rows), : self.dims]

    def sizes(self, const int32_t[:, ::1] requests):
        """int64[S]: each request in parts of the largest agent, as the score counts; what is larger counts as full."""
        cdef int64_t s, n = requests.shape[0]
        cdef int d
        cdef int32_t[8] clipped
        out = np.empty(n, np.int64)
        cdef int64_t[::1] size = out
        with nogil:
            self._refresh()
            for s in range(n):
                for d in range(ORCH_LANES):
                    clipped[d] = requests[s, d] if requests[s, d] < self.most[d] else self.most[d]
                size[s] = orch_score(clipped, self.weight)
        return out

    def sequence(self, const int32_t[::1] shape, const int32_t[::1] priority, const int32_t[:, ::1] requests):
        """int64[D]: demand rows by priority descending, then size descending, then row."""
        cdef int64_t i, n = shape.shape[0]
        cdef int64_t first
        cdef int64_t[::1] size = self.sizes(requests)
        rows, keys, spare = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
        cdef int64_t[::1] row = rows, key = keys, scratch = spare
        with nogil:
            for i in range(n):
                key[i] = orch_place(<int32_t>(ORCH_SCORE_END - size[shape[i]]), i)
            if n > 1:
                orch_sort(&key[0], &scratch[0], n)
            for i in range(n):
                row[i] = orch_row(key[i])
        first = priority[0] if n > 0 else 0
        if np.any(np.asarray(priority) != first):  # rare: the usual batch is of one priority
            return rows[np.argsort(-np.asarray(priority, np.int64)[rows], kind="stable")]
        return rows

    def match(self, const int64_t[::1] sequence, const int32_t[::1] shape, const int32_t[::1] count,
              const int32_t[::1] gang, const int64_t[::1] offset, const int32_t[:, ::1] requests,
              const int32_t[::1] mask_row, const uint8_t[:, ::1] allowed, const uint8_t[::1] policy, headroom,
              int32_t[::1] agent, int64_t[::1] placed, int32_t[:, ::1] why, RuleTable rules=None,
              const int32_t[::1] held_rows=None, const int32_t[:, ::1] held=None):
        """Place the demand's rows in `sequence`; fills agent[P], placed[D], why[<=D]. Returns whys filled.

        requests int32[S, LANES]; mask_row int32[S]: the shape's row of allowed uint8[K, N], -1: any agent.
        policy uint8[D]. headroom: int64[LANES] or None. held_rows, held: what `hold` took for this match, for the whys.
        """
        cdef int64_t i, d, o, z, want, got, room, whys = 0, epoch = 0
        cdef int32_t s, g
        cdef int lane
        cdef bint limited = headroom is not None
        cdef int64_t[::1] left = np.array(headroom, np.int64) if limited else np.zeros(ORCH_LANES, np.int64)
        # The last why of a shape and what had been placed by then: while nothing more is, it holds for later rows too.
        cdef int64_t[::1] failed_at = np.full(requests.shape[0], -1, np.int64)
        cdef int64_t[::1] failed_why = np.zeros(requests.shape[0], np.int64)
        cdef const int32_t* request
        cdef const uint8_t* mask
        cdef orch_agents agents
        cdef orch_ground ground
        cdef orch_rules ruled
        cdef orch_rules* rule = NULL
        cdef bint any_rules = rules is not None, bulk
        if any_rules:
            rules.start(np.max(count) if count.shape[0] > 0 else 0)
        self.clock += 1
        with nogil:
            self._refresh()
            agents = self._agents(held_rows, held)
            ground = self._ground(BEST_FIT)
            for i in range(sequence.shape[0]):
                d = sequence[i]
                if i + 2 * AHEAD < sequence.shape[0]:  # rows lie anywhere in memory
                    z = sequence[i + 2 * AHEAD]
                    __builtin_prefetch(&shape[z])
                    __builtin_prefetch(&count[z])
                    __builtin_prefetch(&gang[z])
                    __builtin_prefetch(&offset[z])
                    __builtin_prefetch(&policy[z])
                    __builtin_prefetch(&placed[z])
                    z = sequence[i + AHEAD]
                    __builtin_prefetch(&requests[shape[z], 0])
                    __builtin_prefetch(&mask_row[shape[z]])
                    if count[z] > 0:
                        __builtin_prefetch(&agent[offset[z]])
                if count[d] == 0:
                    continue
                s = shape[d]
                g = gang[d] if gang[d] > 1 else 1
                o = offset[d]
                request = &requests[s, 0]
                mask = &allowed[mask_row[s], 0] if mask_row[s] >= 0 and self.rows > 0 else NULL
                want = self._within(&left[0], request, count[d]) if limited else count[d]
                ground.policy = policy[d]
                if any_rules:
                    rule = &ruled if rules.view(s, &ruled) else NULL
                bulk = policy[d] == BEST_FIT and g == 1 and rule != NULL and orch_rules_bulk(
                    rule, self.rows, want, ORCH_FLAT_STAYS if self.flat.live else ORCH_FLAT_FROM)
                self._ready(policy[d], bulk)
                if bulk:
                    got = self._fill_flat(request, mask, want, &agent[o], rule)
                elif rule != NULL:
                    orch_rules_offer(rule, self.rows, agents.state, mask, mask_row[s] if mask != NULL else -1)
                    got = self._fill_ruled(&ground, request, mask, want // g * g, g, &agent[o], rule)
                else:
                    if g > 1:
                        # A gang is of equal pods, so it fits where their number does: nothing has to be undone.
                        want = orch_room(&agents, request, mask, want) // g * g
                    got = self._fill(&ground, request, mask, want, &agent[o])
                if got < 0:
                    self._no_memory()
                if policy[d] != BEST_FIT and got > 0:
                    self._reorder(&agent[o], got)
                placed[d] = got
                epoch += got
                for lane in range(self.dims):
                    left[lane] -= got * request[lane]
                if got == count[d]:
                    continue
                if g == 1 and failed_at[s] == epoch:
                    why[whys, :] = why[failed_why[s], :]
                else:
                    room = self._room(&ground, request, mask, g, &agent[o + got], rule)
                    orch_explain(&agents, request, mask, rule, g, room, &why[whys, 0])
                    if why[whys, C_REASON] == ORCH_PLACED:
                        orch_explain_headroom(request, &left[0], &why[whys, 0])
                if g == 1:
                    failed_at[s] = epoch
                    failed_why[s] = whys
                why[whys, C_ROW] = <int32_t>d
                for z in range(o + got, o + count[d]):
                    agent[z] = -1
                whys += 1
            if self.flat.live:
                self._build()
            if self.moves.room > self.rows // 16:
                orch_moves_free(&self.moves)
        return whys

    cdef void _reorder(self, const int32_t* rows, int64_t count) noexcept nogil:
        """These agents were charged beside the order: they get their places anew, or all do at the next best fit."""
        cdef int64_t i
        if not self.order_ok:
            return
        if count > self.rows // 4:
            self.order_ok = False
            return
        for i in range(count):
            if i == 0 or rows[i] != rows[i - 1]:
                self._leave(rows[i])
                self._enter(rows[i])

    cdef int64_t _within(self, const int64_t* left, const int32_t* request, int64_t want) noexcept nogil:
        """How many such pods the headroom holds, at most `want`."""
        cdef int d
        for d in range(self.dims):
            if request[d] > 0 and left[d] // request[d] < want:
                want = left[d] // request[d] if left[d] > 0 else 0
        return want

    cdef int64_t _fill(self, const orch_ground* ground, const int32_t* request, const uint8_t* mask, int64_t want,
                       int32_t* out) noexcept nogil:
        """Place up to `want` equal pods and write their agents to out; returns how many, -1 without memory."""
        if want == 0 or self.rows == 0 or self._oversize(request):
            return 0
        if ground.policy == BEST_FIT:
            return orch_fill_best(&self.order, &self.free_[0, 0], self.weight, request, mask, want, out, &self.moves)
        return orch_walk(ground, request, mask, want, out, NULL)

    cdef int64_t _fill_ruled(self, const orch_ground* ground, const int32_t* request, const uint8_t* mask, int64_t want,
                             int32_t g, int32_t* out, orch_rules* rules) noexcept nogil:
        """As `_fill`, under rules. Of gangs of g the last, if it is not whole, is undone: it came last."""
        cdef int64_t got = orch_fill_ruled(ground, request, mask, want, out, rules)
        cdef int64_t whole = got // g * g
        if got > whole and orch_undo(ground, request, rules, out + whole, got - whole) != 0:
            return -1
        return whole if got >= 0 else -1

    cdef int64_t _fill_flat(self, const int32_t* request, const uint8_t* mask, int64_t want, int32_t* out,
                            orch_rules* rules) noexcept nogil:
        if want == 0 or self._oversize(request):
            return 0
        return orch_fill_flat(&self.flat, &self.free_[0, 0], self.weight, request, mask, want, out, rules)

    cdef int64_t _room(self, const orch_ground* ground, const int32_t* request, const uint8_t* mask, int32_t g,
                       int32_t* out, orch_rules* rules) except -2 nogil:
        """How many pods of a gang fit at once under rules; -1 where no rule is in the way, so that counting will do."""
        cdef int64_t room = 1  # of a single pod: asked for only where an agent holds it
        if rules == NULL:
            return -1
        if g > 1:
            room = orch_room_ruled(ground, request, mask, g, out, rules)
        if room < 0:
            self._no_memory()
        orch_rules_refresh(rules)
        return room

    cdef orch_ground _ground(self, int policy) noexcept nogil:
        """The columns and the order, for pods under rules; valid until the next `grow`."""
        cdef orch_ground g
        g.order, g.moves = &self.order, &self.moves
        g.free_, g.total, g.state = &self.free_[0, 0], &self.total[0, 0], &self.state[0]
        g.largest, g.weight = self.most, self.weight
        g.rows, g.dims, g.policy = self.rows, self.dims, policy
        return g

    cdef orch_agents _agents(self, const int32_t[::1] held_rows, const int32_t[:, ::1] held) noexcept nogil:
        """The columns, for the C side; valid until the next `grow`."""
        cdef orch_agents a
        a.held_rows, a.held, a.held_count = NULL, NULL, 0
        if held_rows is not None and held_rows.shape[0] > 0:
            a.held_rows, a.held, a.held_count = &held_rows[0], &held[0, 0], held_rows.shape[0]
        a.free_, a.total, a.state = &self.free_[0, 0], &self.total[0, 0], &self.state[0]
        a.rows, a.dims = self.rows, self.dims
        a.largest = self.most
        return a

    cdef bint _oversize(self, const int32_t* request) noexcept nogil:
        cdef int d
        for d in range(ORCH_LANES):
            if request[d] > self.most[d]:
                return True
        return False

    def explain(self, const int32_t[::1] request, mask, int32_t gang, int32_t[::1] why, RuleTable rules=None, int32_t shape=0,
                const int32_t[::1] held_rows=None, const int32_t[:, ::1] held=None):
        """Fill why[WHY_WIDTH] for one shape. request int32[LANES]; mask uint8[N] or None; shape: the one in `rules`."""
        cdef const uint8_t[::1] view
        cdef const uint8_t* allowed = NULL
        if mask is not None and self.rows > 0:
            view = mask
            allowed = &view[0]
        cdef orch_agents agents
        cdef orch_ground ground
        cdef orch_rules ruled
        cdef orch_rules* rule = NULL
        cdef int32_t[::1] out = np.empty(gang, np.int32)
        cdef int64_t room
        if rules is not None:
            rules.start(gang)
            rule = &ruled if rules.view(shape, &ruled) else NULL
        with nogil:
            self._refresh()
            agents = self._agents(held_rows, held)
            ground = self._ground(FIRST_FIT)
            if rule != NULL:
                orch_rules_offer(rule, self.rows, agents.state, allowed, -1)
            room = self._room(&ground, &request[0], allowed, gang, &out[0], rule)
            orch_explain(&agents, &request[0], allowed, rule, gang, room, &why[0])
            why[C_ROW] = -1

    def give_back(self, const int32_t[::1] agent, const int64_t[::1] offset, const int64_t[::1] placed,
                  const int32_t[::1] shape, const int32_t[:, ::1] requests, int64_t since):
        """Undo a match: row d put placed[d] pods of requests[shape[d]] on agent[offset[d]:]. Agents told since are left."""
        cdef int64_t d, i, j, stop, row
        with nogil:
            if agent.shape[0] > self.rows // 4:
                self.order_ok = False
            for d in range(offset.shape[0] - 1):
                i = offset[d]
                stop = i + placed[d]
                while i < stop:
                    row = agent[i]
                    j = i + 1
                    while j < stop and agent[j] == row:
                        j += 1
                    if self.told_from + <int64_t>self.told[row] < since:
                        self._leave(row)
                        orch_charge(&self.free_[row, 0], &requests[shape[d], 0], i - j)
                        self._enter(row)
                    i = j


# The master's books and the counting sort: a part of this module, in a file of its own.
include "_placement_books.pxi"
