"""Training: problems whose policies are searched for by Ray Tune, and the study that leads from a seed to a policy.

`problem` is what there is to learn, `catalogue` names all of them, `tuner` lets Ray Tune search (the one module here
that imports Ray), `study` keeps the books: trials, scores, the comparison with the baseline, the policy that comes out.
Above the services, for one problem is the price rule that the running system uses; below the runtime, which may ask
for a training but is no part of one.
"""
