"""Channel watch: what calls, webhooks, lists and read-backs say together about whether a channel tells the truth.

    watch = ChannelWatch(now)
    watch.memory …             everything that was observed, told by whoever observed it
    watch.findings()           what is the matter now, the worst first

Pure: no input or output, no clock of its own. Times are seconds of business time (Unix), periods real seconds.
"""

from flipsync.services.watch.memory import Expected, Memory
from flipsync.services.watch.watch import ChannelWatch

__all__ = ["ChannelWatch", "Expected", "Memory"]
