"""The API's routes, one module a resource; a module is served when it is named here."""

from serve.routes import (
    agents,
    approvals,
    auth,
    catalogue_import,
    decisions,
    inventory,
    listings,
    marketplace,
    monitoring,
    oauth,
    orders,
    pricing,
    products,
    strategy,
    webhooks,
    websocket,
)

ROUTERS = (
    auth.router,
    agents.router,
    catalogue_import.router,
    products.router,
    listings.router,
    inventory.router,
    orders.router,
    pricing.router,
    decisions.router,
    approvals.router,
    strategy.router,
    marketplace.router,
    oauth.router,
    webhooks.router,
    monitoring.router,
    websocket.router,
)
