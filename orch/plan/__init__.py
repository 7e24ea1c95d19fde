"""What would come of a request: the machines of a cluster go on from an image, and the effect is read from their facts.

Nothing of it reaches the cluster. Agents of this future do what they are told at once, and well.
"""

from orch.plan.diff import diff
from orch.plan.effect import Effect, effect_of
from orch.plan.future import Future

__all__ = ["Effect", "Future", "diff", "effect_of"]
