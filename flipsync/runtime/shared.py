"""What every process of the runtime and the API needs, imported and prepared once for all of them (`zygote.py`).

Nothing here may start a thread, open a connection or import Ray. A module left out is imported by its worker.
"""

import importlib

from flipsync.store.models import Base

#: the actors, and what Ray imports into each worker beside itself
for _name in (
    "flipsync.runtime.actors",
    "google.protobuf.message",
    "jsonschema",
    "msgpack",
    "requests",
    "uvloop",
    "yaml",
):
    importlib.import_module(_name)
Base.registry.configure()
