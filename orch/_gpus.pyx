# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled placement core for agents with GPU devices: arrays in, arrays out, no Python object per pod or agent.

Called only by `orch.placement.gpus`, which checks what comes in. Every answer equals that of the plain scan in
`orch/placement/reference_gpus.py`. Loops run without the GIL; they are in `_gpus.h`.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t
from libc.string cimport memset


cdef extern from "_gpus.h" nogil:
    const int ORCH_DEVICES
    const int ORCH_MILLI
    const int ORCH_GPU_STEPS
    const int C_SHAPE "GPU_WIDTH"
    const int C_KIND "MIX_WIDTH"
    ctypedef struct orch_gpus:
        int64_t agents, shapes, kinds, levels
        int32_t* room
        int32_t* device
        const uint64_t* model
        const int32_t* shape
        const uint64_t* wanted
        const int32_t* kind
        const uint64_t* kind_wanted
        const int64_t* weight
        int64_t idle_weight
        const int32_t* level
        const int64_t* left
        int64_t one, fill, gap
        int64_t pull_cpu, pull_gpu
        const int64_t* steps
        int64_t* value
        int64_t* score
        int64_t* seen
        int32_t* ring
        int64_t* last
    void orch_gpu_revalue(const orch_gpus* g, int64_t agent)
    void orch_gpu_charge(orch_gpus* g, int64_t agent, int64_t shape, unsigned devices, int32_t sign)
    int64_t orch_gpu_place(orch_gpus* g, int64_t shape, unsigned* devices)


DEVICES = ORCH_DEVICES
MILLI = ORCH_MILLI
STEPS = ORCH_GPU_STEPS
SHAPE_WIDTH = C_SHAPE
KIND_WIDTH = C_KIND


cdef class Devices:
    """Free columns of agents with devices, and what each shape scores on each. Rows are agents.

    Arguments are as `orch.placement.GpuCluster` has checked them: right dtype, shape and range, C-contiguous. Arrays
    have a row more than is used, so that the address of the first may be taken.
    """

    cdef orch_gpus g
    cdef int32_t[:, ::1] room       # [N + 1, 2]
    cdef int32_t[:, ::1] device     # [N + 1, DEVICES]
    cdef object agents_, mix_, steps_  # what `g` points into, kept alive

    def __cinit__(self):
        memset(&self.g, 0, sizeof(self.g))

    def __init__(self, int32_t[:, ::1] room, int32_t[:, ::1] device, const uint64_t[::1] model,
                 const int32_t[:, ::1] shape, const uint64_t[::1] wanted):
        """room: [N + 1, 2] CPU milli and MiB.  device: [N + 1, DEVICES] milli.  model: [N + 1] one bit each.

        shape: [S + 1, SHAPE_WIDTH] CPU milli, MiB, milli of a device, devices.  wanted: [S + 1] models that will do.
        room and device are changed in place.
        """
        cdef int64_t n = room.shape[0] - 1, s = shape.shape[0] - 1
        cdef int64_t[::1] value = np.zeros(n + 1, np.int64)
        cdef int64_t[::1] score = np.empty(n * s + 1, np.int64)
        cdef int64_t[::1] seen = np.full(s + 1, -1, np.int64)
        cdef int32_t[::1] ring = np.zeros(n + 1, np.int32)
        cdef int64_t[::1] last = np.full(n + 1, -1, np.int64)
        self.room, self.device = room, device
        self.agents_ = [model, shape, wanted, value, score, seen, ring, last]
        self.g.agents, self.g.shapes = n, s
        self.g.room, self.g.device, self.g.model = &room[0, 0], &device[0, 0], &model[0]
        self.g.shape, self.g.wanted = &shape[0, 0], &wanted[0]
        self.g.value, self.g.score, self.g.seen = &value[0], &score[0], &seen[0]
        self.g.ring, self.g.last = &ring[0], &last[0]

    def mix(self, const int32_t[:, ::1] kind, const uint64_t[::1] wanted, const int64_t[::1] weight,
            int64_t idle_weight, const int32_t[::1] level, const int64_t[::1] left):
        """The usual pods, before `use`: kind [K + 1, KIND_WIDTH] CPU milli, row of `level`, devices; models; weights.

        idle_weight: the weight of usual pods without a device.  level: [L + 1] milli of a device.  left: [MILLI + 1]
        what the usual shares would leave of a device with so much free, times the weight of all.
        """
        self.mix_ = [kind, wanted, weight, level, left]
        self.g.kinds, self.g.levels = kind.shape[0] - 1, level.shape[0] - 1
        self.g.kind, self.g.kind_wanted, self.g.weight = &kind[0, 0], &wanted[0], &weight[0]
        self.g.idle_weight, self.g.level, self.g.left = idle_weight, &level[0], &left[0]

    def use(self, const int64_t[::1] policy, const int64_t[::1] steps):
        """The policy from now on: [one, fill, gap, pull of CPU, of devices], and [STEPS] steps, or none: []."""
        cdef int64_t agent, shape
        self.steps_ = steps
        self.g.one, self.g.fill, self.g.gap = policy[0], policy[1], policy[2]
        self.g.pull_cpu, self.g.pull_gpu = policy[3], policy[4]
        self.g.steps = &steps[0] if steps.shape[0] == ORCH_GPU_STEPS else NULL
        with nogil:
            for shape in range(self.g.shapes):
                self.g.seen[shape] = -1
            for agent in range(self.g.agents):
                orch_gpu_revalue(&self.g, agent)

    def place(self, const int32_t[::1] shapes, int32_t[::1] agents, uint16_t[::1] devices):
        """Pods in this order, by shape. Their agents (-1: none holds it) and devices (a bit each) are written."""
        cdef int64_t pod
        cdef unsigned taken
        with nogil:
            for pod in range(shapes.shape[0]):
                agents[pod] = <int32_t>orch_gpu_place(&self.g, shapes[pod], &taken)
                devices[pod] = <uint16_t>taken

    def release(self, const int32_t[::1] shapes, const int32_t[::1] agents, const uint16_t[::1] devices):
        """Give back what pods hold, as `place` wrote it; agent -1 holds nothing."""
        cdef int64_t pod
        with nogil:
            for pod in range(shapes.shape[0]):
                if agents[pod] >= 0:
                    orch_gpu_charge(&self.g, agents[pod], shapes[pod], devices[pod], -1)

    def columns(self):
        """Copies of what is free: (int32[N, 2] CPU milli and MiB, int32[N, DEVICES] milli)."""
        return np.array(self.room[:self.g.agents]), np.array(self.device[:self.g.agents])
