/* The loops of the kernel for agents with GPU devices: what fits where, and what a placement is worth.
 *
 * A device has 1000 milli. A pod asks for milli free on each of `number` devices; one that asks for no device only needs
 * CPU and memory. Devices that an agent does not have are 0 free, so nothing fits them.
 *
 * What is worth what is one formula for all policies (orch/placement/gpus.py gives the weights and their source):
 *     score = value before - value after - pull * what is left,   value = one * waste + fill * leftover + gap * gaps
 * `waste` is the fragmentation measure of FGD (Weng et al., USENIX ATC'23, section 3): the idle milli of an agent that
 * a pod of the usual mix could not use, on average over the mix. `leftover` is the same after as many pods of that kind
 * as the agent holds. `gaps` is what the usual shares of a device, well chosen, would leave of each device: a table.
 * Sums are of integers, so the answers do not depend on the processor. Ties: the lowest row.
 *
 * Scores are kept for each shape and agent. A placement changes one agent, so the next pod of a shape scores only what
 * has changed since the last one: the changes lie in a ring, and one that is older than the ring scores all anew.
 */
#ifndef ORCH_GPUS_H
#define ORCH_GPUS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_clones.h"

#define ORCH_DEVICES 16
#define ORCH_MILLI 1000
#define ORCH_GPU_STEPS 99      /* a stepped score is 0 to this */
#define ORCH_GPU_NO INT64_MIN  /* the score where a pod does not fit */

enum { GPU_CPU, GPU_MEMORY, GPU_MILLI, GPU_NUMBER, GPU_WIDTH };          /* columns of a shape */
enum { MIX_CPU, MIX_LEVEL, MIX_NUMBER, MIX_WIDTH };                      /* columns of a kind of the mix */

typedef struct {
    int64_t agents, shapes, kinds, levels;
    int32_t *room;               /* [agents, 2] free CPU milli, memory MiB */
    int32_t *device;             /* [agents, ORCH_DEVICES] free milli */
    const uint64_t *model;       /* [agents] one bit */
    const int32_t *shape;        /* [shapes, GPU_WIDTH] */
    const uint64_t *wanted;      /* [shapes] models that will do */
    const int32_t *kind;         /* [kinds, MIX_WIDTH], those that ask for devices */
    const uint64_t *kind_wanted; /* [kinds] */
    const int64_t *weight;       /* [kinds] */
    int64_t idle_weight;         /* of the kinds that ask for none: to them all that is idle is waste */
    const int32_t *level;        /* [levels] milli per device, as the kinds ask for */
    const int64_t *left;         /* [ORCH_MILLI + 1] what the shares leave of a device with so much free, times weight */
    int64_t one, fill, gap;      /* weights of the value */
    int64_t pull_cpu, pull_gpu;
    const int64_t *steps;        /* [ORCH_GPU_STEPS] the least decrease for each step, or NULL: scores are exact */
    int64_t *value;              /* [agents] */
    int64_t *score;              /* [shapes, agents] */
    int64_t *seen;               /* [shapes] changes that the scores know of; -1: none are scored */
    int32_t *ring;               /* [agents] the agents that changed, by change modulo agents */
    int64_t *last;               /* [agents] the number of its last change */
    int64_t changes;
} orch_gpus;

/* How many devices have this much free; `below` gets what is free on the others. */
static inline __attribute__((always_inline)) int32_t orch_gpu_count(const int32_t *device, int32_t milli, int32_t *below)
{
    int32_t count = 0, rest = 0;
    for (int d = 0; d < ORCH_DEVICES; d++) {
        int32_t enough = device[d] >= milli;
        count += enough;
        rest += enough ? 0 : device[d];
    }
    *below = rest;
    return count;
}

static inline __attribute__((always_inline)) int orch_gpu_fits(const orch_gpus *g, int64_t agent, int64_t shape)
{
    const int32_t *want = g->shape + GPU_WIDTH * shape, *room = g->room + 2 * agent;
    int32_t below;
    if (room[0] < want[GPU_CPU] || room[1] < want[GPU_MEMORY])
        return 0;
    if (want[GPU_NUMBER] == 0)
        return 1;
    return (g->wanted[shape] & g->model[agent]) != 0
        && orch_gpu_count(g->device + ORCH_DEVICES * agent, want[GPU_MILLI], &below) >= want[GPU_NUMBER];
}

/* The devices (a bit each) that have enough free and least beyond it, `number` of them; ties: the first. */
static inline unsigned orch_gpu_tightest(const int32_t *device, int32_t milli, int32_t number)
{
    unsigned taken = 0;
    for (int32_t i = 0; i < number; i++) {
        int best = -1;
        for (int d = 0; d < ORCH_DEVICES; d++)
            if (!(taken >> d & 1) && device[d] >= milli && (best < 0 || device[d] < device[best]))
                best = d;
        taken |= 1u << best;
    }
    return taken;
}

/* What idles on an agent and is of no use to the mix: see the top of this file. */
static inline __attribute__((always_inline)) int64_t orch_gpu_value(const orch_gpus *g, int32_t cpu,
                                                                    const int32_t *device, uint64_t model)
{
    int32_t count[ORCH_MILLI], below[ORCH_MILLI], copies[ORCH_MILLI];
    int64_t idle = 0, gaps = 0, waste, leftover = 0;
    for (int d = 0; d < ORCH_DEVICES; d++) {
        idle += device[d];
        gaps += g->left[device[d]];
    }
    if (idle == 0)
        return 0;
    for (int64_t l = 0; l < g->levels; l++)
        count[l] = orch_gpu_count(device, g->level[l], &below[l]);
    if (g->fill != 0)
        for (int64_t l = 0; l < g->levels; l++) {
            copies[l] = 0;
            for (int d = 0; d < ORCH_DEVICES; d++)
                copies[l] += device[d] / g->level[l];
        }
    waste = g->idle_weight * idle;
    for (int64_t k = 0; k < g->kinds; k++) {
        const int32_t *kind = g->kind + MIX_WIDTH * k;
        int32_t level = kind[MIX_LEVEL], number = kind[MIX_NUMBER];
        int usable = (g->kind_wanted[k] & model) != 0 && cpu >= kind[MIX_CPU] && count[level] >= number;
        waste += g->weight[k] * (usable ? below[level] : idle);
        if (g->fill != 0) {
            int64_t pods = !usable ? 0 : number == 1 ? copies[level] : count[level] / number;
            if (pods * kind[MIX_CPU] > cpu)
                pods = cpu / kind[MIX_CPU];
            int64_t left = idle - pods * number * g->level[level];
            leftover += g->weight[k] * (left > 0 ? left : 0);
        }
    }
    return g->one * waste + g->fill * leftover + g->gap * gaps;
}

static inline int64_t orch_gpu_step(const int64_t *steps, int64_t decrease)
{
    int64_t low = 0, high = ORCH_GPU_STEPS;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (steps[middle] <= decrease)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The score of a pod on an agent that holds it, and the devices it would get.
 *
 * A pod that shares a device is tried on each; others get the tightest ones.
 */
static inline __attribute__((always_inline)) int64_t orch_gpu_try(const orch_gpus *g, int64_t agent, int64_t shape,
                                                                  unsigned *devices)
{
    const int32_t *want = g->shape + GPU_WIDTH * shape, *device = g->device + ORCH_DEVICES * agent;
    int32_t after[ORCH_DEVICES], milli = want[GPU_MILLI], number = want[GPU_NUMBER];
    int32_t cpu = g->room[2 * agent] - want[GPU_CPU];
    int valued = g->one != 0 || g->fill != 0 || g->gap != 0;
    int each = valued && number == 1 && milli < ORCH_MILLI;
    int64_t left = -(int64_t)milli * number, best = ORCH_GPU_NO;
    for (int d = 0; d < ORCH_DEVICES; d++)
        left += device[d];
    int64_t pulled = g->pull_cpu * cpu + g->pull_gpu * left;
    for (int d = 0; d < (each ? ORCH_DEVICES : 1); d++) {
        unsigned taken = each ? 1u << d : orch_gpu_tightest(device, milli, number);
        int again = 0;
        for (int e = 0; e < d; e++)
            again |= device[e] == device[d]; /* as good as an earlier one */
        if (each && (device[d] < milli || again))
            continue;
        int64_t score = -pulled;
        if (valued) {
            for (int e = 0; e < ORCH_DEVICES; e++)
                after[e] = device[e] - (taken >> e & 1 ? milli : 0);
            int64_t decrease = g->value[agent] - orch_gpu_value(g, cpu, after, g->model[agent]);
            score += g->steps != NULL ? orch_gpu_step(g->steps, decrease) : decrease;
        }
        if (score > best) {
            best = score;
            *devices = taken;
        }
    }
    return best;
}

ORCH_CLONES
static int64_t orch_gpu_score(const orch_gpus *g, int64_t agent, int64_t shape, unsigned *devices)
{
    *devices = 0;
    return orch_gpu_fits(g, agent, shape) ? orch_gpu_try(g, agent, shape, devices) : ORCH_GPU_NO;
}

ORCH_CLONES
static void orch_gpu_revalue(const orch_gpus *g, int64_t agent)
{
    g->value[agent] = orch_gpu_value(g, g->room[2 * agent], g->device + ORCH_DEVICES * agent, g->model[agent]);
}

/* The first row of the best score, or -1 where no agent holds the pod. */
ORCH_CLONES
static int64_t orch_gpu_best(const int64_t *score, int64_t agents)
{
    int64_t best = ORCH_GPU_NO;
    for (int64_t a = 0; a < agents; a++)
        best = score[a] > best ? score[a] : best;
    if (best != ORCH_GPU_NO)
        for (int64_t a = 0; a < agents; a++)
            if (score[a] == best)
                return a;
    return -1;
}

/* Bring the scores of a shape up to date. */
static void orch_gpu_refresh(orch_gpus *g, int64_t shape)
{
    unsigned devices;
    int64_t *score = g->score + shape * g->agents;
    int64_t seen = g->seen[shape];
    g->seen[shape] = g->changes;
    if (seen < 0 || g->changes - seen > g->agents) {
        for (int64_t a = 0; a < g->agents; a++)
            score[a] = orch_gpu_score(g, a, shape, &devices);
        return;
    }
    for (int64_t c = seen; c < g->changes; c++) {
        int32_t agent = g->ring[c % g->agents];
        if (g->last[agent] == c)
            score[agent] = orch_gpu_score(g, agent, shape, &devices);
    }
}

/* Take a pod's resources from an agent (sign 1), or give them back (-1). */
static void orch_gpu_charge(orch_gpus *g, int64_t agent, int64_t shape, unsigned devices, int32_t sign)
{
    const int32_t *want = g->shape + GPU_WIDTH * shape;
    g->room[2 * agent] -= sign * want[GPU_CPU];
    g->room[2 * agent + 1] -= sign * want[GPU_MEMORY];
    for (int d = 0; d < ORCH_DEVICES; d++)
        if (devices >> d & 1)
            g->device[ORCH_DEVICES * agent + d] -= sign * want[GPU_MILLI];
    orch_gpu_revalue(g, agent);
    g->ring[g->changes % g->agents] = (int32_t)agent;
    g->last[agent] = g->changes++;
}

/* Place one pod: its agent, or -1, and its devices. */
static int64_t orch_gpu_place(orch_gpus *g, int64_t shape, unsigned *devices)
{
    *devices = 0;
    orch_gpu_refresh(g, shape);
    int64_t agent = orch_gpu_best(g->score + shape * g->agents, g->agents);
    if (agent >= 0) {
        orch_gpu_score(g, agent, shape, devices);
        orch_gpu_charge(g, agent, shape, *devices, 1);
    }
    return agent;
}

#endif
