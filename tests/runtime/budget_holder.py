"""A process that spends from a budget until it is killed: `python budget_holder.py URL TENANT MOST`."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from shop import open_store

from flipsync.runtime.budgets import Budgets


async def main(url: str, tenant_id: UUID, most: int) -> None:
    store, budgets, spent = open_store(url, pool_size=1), Budgets(), 0
    while True:
        async with store.unit(tenant_id) as unit:
            taken = await budgets.take(unit, "pricing", most)
        spent += taken
        sys.stdout.write(f"{spent}\n")
        sys.stdout.flush()
        await asyncio.sleep(0.0 if taken else 0.2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3])))
