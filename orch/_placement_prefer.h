/* Preferences: of the agents that hold a pod under its rules, those that meet the most come first, whatever the policy.
 *
 * A placed pod may make agents meet less (apart from its own) or more (near its own). Where none can come to meet more,
 * all pods of one level are one walk over the agents that meet at least so much: they only fall out of it. Else one pod is
 * placed, and the levels are looked at anew: once for each value of an attribute that comes into use.
 */
#ifndef ORCH_PLACEMENT_PREFER_H
#define ORCH_PLACEMENT_PREFER_H
#include "_placement_fill.h"

enum orch_policy { ORCH_BEST_FIT, ORCH_FIRST_FIT, ORCH_SPREAD };

/* Whether another pod on an agent could raise what agents meet, beyond a walk's own order. Where each value has one agent,
 * only that very agent comes to meet more, and best fit and first fit take it again anyway. */
static int orch_raises(const orch_rules *r, int64_t row, int policy)
{
    int fine = policy != ORCH_SPREAD, raised = 0;
    for (int i = 0; i < r->preferences; i++) {
        const orch_preference *p = &r->preference[i];
        if (!p->counted)
            continue;
        if (!p->near_)
            fine = 0;
        else if (p->counter->codes[row] >= 0 && p->counter->counts[p->counter->codes[row]] == 0) {
            raised = 1;
            fine &= p->single;
        }
    }
    return raised && !fine;
}

#endif
