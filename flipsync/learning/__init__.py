"""The learning core: small exact problems, their optima, what learns to solve them, and the proof that it does.

One folder a field (pricing, inventory, forecast, fulfilment). A module states one problem: its simulator, its optimum
and our solver. `protocol` is how all are measured, `evaluation` how a policy is judged from logs, `safety` what no
policy may do, `policy` how one is kept. Nothing here knows of the store, channels or Ray.
"""
