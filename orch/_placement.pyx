# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled placement core: arrays in, arrays out, no Python object per pod or agent.

Called only by `orch.placement`, which checks what comes in and gives names to what comes out. Every answer equals
that of the plain sequential scan in `orch/placement/reference.py`. Loops run without the GIL.

The algorithm is "runs": pods come as rows of equal pods (a shape and a count). Best fit and first fit stay on an agent
until it is full, so a row of a million pods is one walk over the agents that hold it, each filled by one division.
Best fit walks a persistent order of agents by (score, row); an agent that was charged moves left in it, and all moves
of a row are merged back at once. Spread takes agents from a heap, one pod at a time.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset


cdef extern from "_placement_kernel.h" nogil:
    const int ORCH_LANES
    const int ORCH_USABLE
    const int ORCH_SCORE_BITS
    const int ORCH_SCORE_MOST
    int orch_fits(const int32_t* have, const int32_t* want)
    unsigned orch_short(const int32_t* have, const int32_t* want)
    int64_t orch_miss(int32_t have, int32_t want)
    int __builtin_ctz(unsigned bits)
    int __builtin_popcount(unsigned bits)
    int64_t orch_times(const int32_t* have, const int32_t* want, int64_t cap)
    void orch_charge(int32_t* have, const int32_t* want, int64_t times)
    int32_t orch_score(const int32_t* have, const int64_t* weight)
    int32_t orch_spread_score(const int32_t* have, const int32_t* total)
    int64_t orch_place(int32_t score, int64_t row)
    int64_t orch_row(int64_t place)
    int64_t orch_next_in_order(const int64_t* order, int64_t start, int64_t stop, const int32_t* have,
                               const int32_t* want, const uint8_t* allowed)
    int64_t orch_next_row(int64_t start, int64_t stop, const int32_t* have, const uint8_t* state,
                          const int32_t* want, const uint8_t* allowed)
    int64_t orch_lower_bound(const int64_t* order, int64_t count, int64_t place)
    void orch_sort(int64_t* places, int64_t* spare, int64_t count)
    void orch_sift(int64_t* heap, int64_t count, int64_t i)
    int64_t orch_splice(int64_t* order, int64_t count, const int64_t* gone, int64_t gone_count,
                        const int64_t* come, int64_t come_count, int64_t* spare)


LANES = ORCH_LANES
SCORE_BITS = ORCH_SCORE_BITS
SCORE_MOST = ORCH_SCORE_MOST

# Up to so many single moves in the order cost less than building it anew.
cdef enum:
    SPLICES_MOST = 64

# Codes shared with placement/reason.py, which gives them names.
cdef enum:
    PLACED = 0
    NO_AGENTS = 1
    NOT_USABLE = 2
    CONSTRAINT = 3
    GANG = 4
    HEADROOM = 5
    QUOTA = 6
    STALE_SESSION = 7
    UNKNOWN_AGENT = 8
    TOO_FEW = 16      # + the resource's column

cdef enum:
    BEST_FIT = 0
    FIRST_FIT = 1
    SPREAD = 2

# One row of the why matrix: int32[WHY_WIDTH].
cdef enum:
    W_ROW = 0          # demand row
    W_AGENTS = 1
    W_FEASIBLE = 2     # agents that hold one such pod now
    W_EMPTY = 3        # agents that would hold one if nothing ran on them, whatever else speaks against them
    W_ROOM = 4         # pods that fit at once now, counted up to the gang's size
    W_NEAREST = 5      # agent row, -1: none
    W_PREDICATE = 6    # what the nearest fails by
    W_NEAREST_FREE = 7
    W_REASON = 8
    W_RULED = 9        # + predicate: 0 usable, 1 constraint, 2.. the resources
    W_MOST = 19        # + resource: most free on an agent ruled out by it, -1: none was
    W_TOTAL = 27       # + resource: largest total of any agent
    W_SHORT = 35       # the resource that the headroom is shortest of, -1: none asked
    W_LEFT = 36        # how much of it is left, kept within int32
    W_WIDTH = 37

WHY_ROW, WHY_AGENTS, WHY_FEASIBLE, WHY_EMPTY, WHY_ROOM = W_ROW, W_AGENTS, W_FEASIBLE, W_EMPTY, W_ROOM
WHY_NEAREST, WHY_PREDICATE, WHY_NEAREST_FREE, WHY_REASON = W_NEAREST, W_PREDICATE, W_NEAREST_FREE, W_REASON
WHY_RULED, WHY_MOST, WHY_TOTAL, WHY_WIDTH = W_RULED, W_MOST, W_TOTAL, W_WIDTH
WHY_SHORT, WHY_LEFT = W_SHORT, W_LEFT


# The nearest agent so far: by failing predicates, what it misses, row. Agents that lack but one resource are kept apart:
# of each resource the most that such an agent has free, and the first row that has it.
ctypedef struct Near:
    int32_t failing      # the fewest failures seen
    int32_t row_failing  # failures of `row`
    int64_t miss
    int64_t row
    int32_t[8] most
    int64_t[8] rows


cdef class Index:
    """Free columns of agents and the orders over them. Rows are agents; `dims` is R, 4 to 8.

    Arguments are as `orch.placement.Cluster` has checked them: right dtype, shape and range, C-contiguous.
    """

    cdef readonly int dims
    cdef readonly int64_t rows
    cdef readonly int64_t clock            # counts matches and updates
    cdef int32_t[:, ::1] free_             # [capacity, LANES]
    cdef int32_t[:, ::1] total             # [capacity, LANES]
    cdef uint8_t[::1] state                # 0 no agent, 1 not usable, 2 usable
    cdef int64_t[::1] told                 # clock of the last update of a row
    cdef int64_t[::1] order                # usable agents by (score, row)
    cdef int64_t[::1] gone                 # scratch: places that leave the order, then the heap of spread
    cdef int64_t[::1] come                 # scratch: places that enter it
    cdef int64_t[::1] spare                # scratch of sort and splice
    cdef int64_t ordered                   # length of the order
    cdef bint order_ok
    cdef bint most_ok
    cdef int64_t[8] weight
    cdef int32_t[8] most                   # largest total of any agent

    def __init__(self, int dims):
        self.dims = dims
        self.rows = 0
        self._reserve(1)  # never empty: the address of the first row is taken

    cdef _reserve(self, int64_t capacity):
        """Arrays of `capacity` rows, the present rows copied."""
        cdef int64_t n = self.rows
        free_, total = np.zeros((capacity, ORCH_LANES), np.int32), np.zeros((capacity, ORCH_LANES), np.int32)
        state, told = np.zeros(capacity, np.uint8), np.zeros(capacity, np.int64)
        if n > 0:
            free_[:n], total[:n], state[:n], told[:n] = self.free_[:n], self.total[:n], self.state[:n], self.told[:n]
        self.free_, self.total, self.state, self.told = free_, total, state, told
        self.order = np.zeros(capacity, np.int64)
        self.gone = np.zeros(capacity, np.int64)
        self.come = np.zeros(capacity, np.int64)
        self.spare = np.zeros(capacity, np.int64)
        self.order_ok = False

    def grow(self, int64_t rows):
        """Rows up to `rows`, new ones without an agent."""
        if rows > self.state.shape[0]:
            self._reserve(max(rows, self.state.shape[0] * 3 // 2))
        self.rows = max(rows, self.rows)

    def put(self, const int32_t[::1] rows, const int32_t[:, ::1] free_, const int32_t[:, ::1] total,
            const uint8_t[::1] usable):
        """Set agents. `total` may have no rows: totals stay. An agent without any total is none."""
        cdef int64_t i, row, k = rows.shape[0]
        cdef int d
        cdef bint totals = total.shape[0] == k
        cdef uint8_t state
        self.clock += 1
        with nogil:
            if k > SPLICES_MOST:
                self.order_ok = False
            for i in range(k):
                row = rows[i]
                self._leave(row)
                for d in range(self.dims):
                    self.free_[row, d] = free_[i, d]
                    if totals and self.total[row, d] != total[i, d]:
                        self.total[row, d] = total[i, d]
                        self.most_ok = False
                state = 0
                for d in range(self.dims):
                    if self.total[row, d] > 0:
                        state = ORCH_USABLE if usable[i] else 1
                self.state[row] = state
                self.told[row] = self.clock
                self._enter(row)

    cdef void _leave(self, int64_t row) noexcept nogil:
        """Take a row out of the order, if it is in it; called before its columns change."""
        if not self.order_ok or self.state[row] != ORCH_USABLE:
            return
        self.gone[0] = orch_place(orch_score(&self.free_[row, 0], self.weight), row)
        self.ordered = orch_splice(&self.order[0], self.ordered, &self.gone[0], 1, &self.come[0], 0, &self.spare[0])

    cdef void _enter(self, int64_t row) noexcept nogil:
        if not self.order_ok or self.state[row] != ORCH_USABLE:
            return
        self.come[0] = orch_place(orch_score(&self.free_[row, 0], self.weight), row)
        self.ordered = orch_splice(&self.order[0], self.ordered, &self.gone[0], 0, &self.come[0], 1, &self.spare[0])

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

    cdef void _build(self) noexcept nogil:
        cdef int64_t row, n = 0
        if self.order_ok or self.rows == 0:
            return
        for row in range(self.rows):
            if self.state[row] == ORCH_USABLE:
                self.order[n] = orch_place(orch_score(&self.free_[row, 0], self.weight), row)
                n += 1
        if n > 0:
            orch_sort(&self.order[0], &self.spare[0], n)
        self.ordered = n
        self.order_ok = True

    def columns(self):
        """Copies (free int32[N, R], total int32[N, R], state uint8[N])."""
        n, r = self.rows, self.dims
        return (np.array(self.free_)[:n, :r].copy(), np.array(self.total)[:n, :r].copy(),
                np.array(self.state)[:n].copy())

    def totals(self, const int32_t[::1] rows):
        """int32[k, R]: the totals of rows."""
        return np.asarray(self.total)[np.asarray(rows), : self.dims]

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

    def match(self, const int64_t[::1] sequence, const int32_t[::1] shape, const int32_t[::1] count,
              const int32_t[::1] gang, const int64_t[::1] offset, const int32_t[:, ::1] requests,
              const int32_t[::1] mask_row, const uint8_t[:, ::1] allowed, int policy, headroom,
              int32_t[::1] agent, uint8_t[::1] reason, int64_t[::1] placed, int32_t[:, ::1] why):
        """Place the demand's rows in `sequence`; fills agent[P], reason[P], placed[D], why[<=D]. Returns whys filled.

        requests int32[S, LANES]; mask_row int32[S]: the shape's row of allowed uint8[K, N], -1: any agent.
        headroom: int64[LANES] or None.
        """
        cdef int64_t i, d, o, z, want, got, whys = 0, epoch = 0
        cdef int32_t s, g
        cdef int lane
        cdef bint limited = headroom is not None
        cdef int64_t[::1] left = np.array(headroom, np.int64) if limited else np.zeros(ORCH_LANES, np.int64)
        # The last why of a shape and what had been placed by then: while nothing more is, it holds for later rows too.
        cdef int64_t[::1] failed_at = np.full(requests.shape[0], -1, np.int64)
        cdef int64_t[::1] failed_why = np.zeros(requests.shape[0], np.int64)
        cdef const int32_t* request
        cdef const uint8_t* mask
        self.clock += 1
        with nogil:
            self._refresh()
            if policy == BEST_FIT:
                self._build()
            for i in range(sequence.shape[0]):
                d = sequence[i]
                if count[d] == 0:
                    continue
                s = shape[d]
                g = gang[d] if gang[d] > 1 else 1
                o = offset[d]
                request = &requests[s, 0]
                mask = &allowed[mask_row[s], 0] if mask_row[s] >= 0 and self.rows > 0 else NULL
                want = self._within(&left[0], request, count[d]) if limited else count[d]
                if g > 1:
                    # A gang is of equal pods, so it fits where their number does: nothing has to be undone.
                    want = self._room(request, mask, want) // g * g
                got = self._fill(policy, request, mask, want, &agent[o])
                placed[d] = got
                epoch += got
                for lane in range(self.dims):
                    left[lane] -= got * request[lane]
                if got == count[d]:
                    continue
                if g == 1 and failed_at[s] == epoch:
                    why[whys, :] = why[failed_why[s], :]
                else:
                    self._explain(request, mask, g, &why[whys, 0])
                    if why[whys, W_REASON] == PLACED:  # the agents hold it: the group may not have it
                        why[whys, W_REASON] = HEADROOM
                        self._shortest(request, &left[0], &why[whys, 0])
                if g == 1:
                    failed_at[s] = epoch
                    failed_why[s] = whys
                why[whys, W_ROW] = <int32_t>d
                memset(&reason[o + got], why[whys, W_REASON], count[d] - got)
                for z in range(o + got, o + count[d]):
                    agent[z] = -1
                whys += 1
            if policy != BEST_FIT and epoch > 0:
                self.order_ok = False
        return whys

    cdef int64_t _within(self, const int64_t* left, const int32_t* request, int64_t want) noexcept nogil:
        """How many such pods the headroom holds, at most `want`."""
        cdef int d
        for d in range(self.dims):
            if request[d] > 0 and left[d] // request[d] < want:
                want = left[d] // request[d] if left[d] > 0 else 0
        return want

    cdef int64_t _fill(self, int policy, const int32_t* request, const uint8_t* mask, int64_t want,
                       int32_t* out) noexcept nogil:
        """Place up to `want` equal pods and write their agents to out; returns how many."""
        if want == 0 or self.rows == 0:
            return 0
        if policy == BEST_FIT:
            return self._fill_best(request, mask, want, out)
        if policy == FIRST_FIT:
            return self._fill_first(request, mask, want, out)
        return self._fill_spread(request, mask, want, out)

    cdef int64_t _room(self, const int32_t* request, const uint8_t* mask, int64_t cap) noexcept nogil:
        """How many such pods all agents together hold now, at most cap. No order matters: the pods are equal."""
        cdef int64_t row = -1, room = 0
        while room < cap:
            row = orch_next_row(row + 1, self.rows, &self.free_[0, 0], &self.state[0], request, mask)
            if row >= self.rows:
                break
            room += orch_times(&self.free_[row, 0], request, cap - room)
        return room

    cdef bint _oversize(self, const int32_t* request) noexcept nogil:
        cdef int d
        for d in range(ORCH_LANES):
            if request[d] > self.most[d]:
                return True
        return False

    cdef int64_t _fill_best(self, const int32_t* request, const uint8_t* mask, int64_t want,
                            int32_t* out) noexcept nogil:
        """Charging lowers an agent's score, so it stays the best until it is full: fill each at once."""
        cdef int64_t at, row, times, z, got = 0, touched = 0
        cdef int32_t* have
        if self._oversize(request):
            return 0
        # An agent that holds the pod scores at least as much as the pod itself: the fuller ones need no look.
        at = orch_lower_bound(&self.order[0], self.ordered, orch_place(orch_score(request, self.weight), 0))
        while got < want:
            at = orch_next_in_order(&self.order[0], at, self.ordered, &self.free_[0, 0], request, mask)
            if at == self.ordered:
                break
            row = orch_row(self.order[at])
            have = &self.free_[row, 0]
            times = orch_times(have, request, want - got)
            orch_charge(have, request, times)
            self.gone[touched] = self.order[at]
            self.come[touched] = orch_place(orch_score(have, self.weight), row)
            touched += 1
            for z in range(got, got + times):
                out[z] = <int32_t>row
            got += times
            at += 1
        if touched > 1:
            orch_sort(&self.come[0], &self.spare[0], touched)
        orch_splice(&self.order[0], self.ordered, &self.gone[0], touched, &self.come[0], touched, &self.spare[0])
        return got

    cdef int64_t _fill_first(self, const int32_t* request, const uint8_t* mask, int64_t want,
                             int32_t* out) noexcept nogil:
        cdef int64_t row = -1, times, z, got = 0
        while got < want:
            row = orch_next_row(row + 1, self.rows, &self.free_[0, 0], &self.state[0], request, mask)
            if row >= self.rows:
                break
            times = orch_times(&self.free_[row, 0], request, want - got)
            orch_charge(&self.free_[row, 0], request, times)
            for z in range(got, got + times):
                out[z] = <int32_t>row
            got += times
        return got

    cdef int64_t _fill_spread(self, const int32_t* request, const uint8_t* mask, int64_t want,
                              int32_t* out) noexcept nogil:
        """Charging raises the spread score, so the next pod may go elsewhere: a heap, one pod at a time."""
        cdef int64_t row = -1, got = 0, size = 0, i
        cdef int64_t* heap = &self.gone[0]
        cdef int32_t* have
        while True:
            row = orch_next_row(row + 1, self.rows, &self.free_[0, 0], &self.state[0], request, mask)
            if row >= self.rows:
                break
            heap[size] = orch_place(orch_spread_score(&self.free_[row, 0], &self.total[row, 0]), row)
            size += 1
        for i in range(size // 2 - 1, -1, -1):
            orch_sift(heap, size, i)
        while got < want and size > 0:
            row = orch_row(heap[0])
            have = &self.free_[row, 0]
            orch_charge(have, request, 1)
            out[got] = <int32_t>row
            got += 1
            if orch_fits(have, request):
                heap[0] = orch_place(orch_spread_score(have, &self.total[row, 0]), row)
            else:
                size -= 1
                heap[0] = heap[size]
            if size > 0:
                orch_sift(heap, size, 0)
        return got

    def explain(self, const int32_t[::1] request, mask, int32_t gang, int32_t[::1] why):
        """Fill why[WHY_WIDTH] for one shape. request int32[LANES]; mask uint8[N] or None."""
        cdef const uint8_t[::1] view
        cdef const uint8_t* allowed = NULL
        if mask is not None and self.rows > 0:
            view = mask
            allowed = &view[0]
        with nogil:
            self._refresh()
            self._explain(&request[0], allowed, gang, &why[0])
            why[W_ROW] = -1

    cdef void _explain(self, const int32_t* request, const uint8_t* mask, int32_t gang, int32_t* why) noexcept nogil:
        """Each agent is charged to its first failing predicate. See `orch.placement.Why` for the words."""
        cdef int64_t row
        cdef unsigned lacks, failed
        cdef int d, first
        cdef const int32_t* have
        cdef Near near
        memset(why, 0, W_WIDTH * sizeof(int32_t))
        why[W_NEAREST] = -1
        why[W_SHORT] = -1
        near.failing = 0x7fffffff
        near.miss = 0
        near.row = -1
        near.row_failing = 0x7fffffff
        for d in range(ORCH_LANES):
            why[W_MOST + d] = -1
            why[W_TOTAL + d] = self.most[d]
            near.most[d] = -1
        for row in range(self.rows):
            if self.state[row] == 0:
                continue
            why[W_AGENTS] += 1
            why[W_EMPTY] += orch_fits(&self.total[row, 0], request)
            have = &self.free_[row, 0]
            lacks = orch_short(have, request)
            # One bit a predicate, in their order.
            failed = lacks << 2
            if self.state[row] != ORCH_USABLE:
                failed |= 1
            if mask != NULL and not mask[row]:
                failed |= 2
            if failed == 0:
                why[W_FEASIBLE] += 1
                continue
            first = __builtin_ctz(failed)
            why[W_RULED + first] += 1
            if first >= 2 and have[first - 2] > why[W_MOST + first - 2]:
                why[W_MOST + first - 2] = have[first - 2]
            self._nearer(row, request, failed, &near)
        self._nearest(request, &near, why)
        self._main_reason(request, mask, gang, why)

    cdef void _nearer(self, int64_t row, const int32_t* request, unsigned failed, Near* near) noexcept nogil:
        """Keep the agent if it is the nearest so far. Of agents that lack one resource the one with the most of it is
        the nearest, so for these, the usual case, nothing is divided until all have been seen.
        """
        cdef int failing = __builtin_popcount(failed), d
        cdef int64_t miss = 0
        cdef const int32_t* have = &self.free_[row, 0]
        if failing > near.failing:
            return
        if failing == 1 and failed > 2:
            d = __builtin_ctz(failed) - 2
            near.failing = 1
            if have[d] > near.most[d]:
                near.most[d] = have[d]
                near.rows[d] = row
            return
        for d in range(self.dims):
            if failed >> (2 + d) & 1:
                miss += orch_miss(have[d], request[d])
        if failing < near.failing or near.row < 0 or near.row_failing > failing or miss < near.miss:
            near.failing = near.row_failing = failing
            near.miss = miss
            near.row = row

    cdef void _nearest(self, const int32_t* request, Near* near, int32_t* why) noexcept nogil:
        """The nearest of those kept, and what it lacks the largest part of."""
        cdef int d
        cdef int64_t miss, worst = -1
        cdef const int32_t* have
        if near.row >= 0 and near.row_failing > near.failing:
            near.row = -1
        if near.failing == 1:
            for d in range(self.dims):
                if near.most[d] < 0:
                    continue
                miss = orch_miss(near.most[d], request[d])
                if near.row < 0 or miss < near.miss or (miss == near.miss and near.rows[d] < near.row):
                    near.miss = miss
                    near.row = near.rows[d]
        if near.row < 0:
            return
        have = &self.free_[near.row, 0]
        why[W_NEAREST] = <int32_t>near.row
        why[W_PREDICATE] = 0 if self.state[near.row] != ORCH_USABLE else 1
        for d in range(self.dims):
            if have[d] < request[d] and orch_miss(have[d], request[d]) > worst:
                worst = orch_miss(have[d], request[d])
                why[W_PREDICATE] = 2 + d
                why[W_NEAREST_FREE] = have[d]

    cdef void _main_reason(self, const int32_t* request, const uint8_t* mask, int32_t gang,
                           int32_t* why) noexcept nogil:
        """The one code: the predicate that ruled out the most agents, the first of equals. PLACED where the agents hold it."""
        cdef int d
        cdef int32_t ruled_most = 0
        if why[W_AGENTS] == 0:
            why[W_REASON] = NO_AGENTS
            return
        if why[W_FEASIBLE] > 0:
            why[W_ROOM] = <int32_t>self._room(request, mask, gang)
            why[W_REASON] = GANG if why[W_ROOM] < gang else PLACED
            return
        for d in range(2 + self.dims):
            if why[W_RULED + d] > ruled_most:
                ruled_most = why[W_RULED + d]
                why[W_REASON] = NOT_USABLE + d if d < 2 else TOO_FEW + d - 2

    cdef void _shortest(self, const int32_t* request, const int64_t* left, int32_t* why) noexcept nogil:
        """Which resource the headroom holds the fewest such pods of; ties to the first."""
        cdef int64_t times, least = 0x7fffffffffffffff
        cdef int d
        for d in range(self.dims):
            if request[d] == 0:
                continue
            times = left[d] // request[d] if left[d] > 0 else 0
            if times < least:
                least = times
                why[W_SHORT] = d
                why[W_LEFT] = <int32_t>max(min(left[d], 0x7fffffff), -0x7fffffff)

    def give_back(self, const int32_t[::1] agent, const int64_t[::1] offset, const int64_t[::1] placed,
                  const int32_t[:, ::1] requests, int64_t since):
        """Undo a match: demand row d put placed[d] pods of requests[d] on agent[offset[d]:]. Agents told since are left."""
        cdef int64_t d, i, j, stop, row
        with nogil:
            if agent.shape[0] > SPLICES_MOST:
                self.order_ok = False
            for d in range(offset.shape[0] - 1):
                i = offset[d]
                stop = i + placed[d]
                while i < stop:
                    row = agent[i]
                    j = i + 1
                    while j < stop and agent[j] == row:
                        j += 1
                    if self.told[row] < since:
                        self._leave(row)
                        orch_charge(&self.free_[row, 0], &requests[d, 0], i - j)
                        self._enter(row)
                    i = j


# The master's books and the counting sort: a part of this module, in a file of its own.
include "_placement_books.pxi"
