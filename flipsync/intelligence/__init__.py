"""Ways to think: engines that know nothing of channels or tables."""
