"""The learning core: small exact problems, their optima, what learns to solve them, and the proof that it does.

One folder a field (pricing, inventory, forecast, fulfilment). A module states one problem: its simulator, its optimum
and our solver. `protocol` is how all are measured, `search` how policies are found, `evaluation` how one is judged from
logs and while it runs, `safety` what none may do, `policy` how one is kept, `faces` the problems for Gymnasium. Nothing
here knows of the store or of Ray.
"""
