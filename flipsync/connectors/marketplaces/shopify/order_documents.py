"""The GraphQL documents about orders, refunds and shipments; see `documents`."""

from __future__ import annotations

from flipsync.connectors.marketplaces.shopify.documents import Document

ORDERS_PAGE = 10

_ORDER = """
fragment OrderHead on Order {
  id name createdAt updatedAt cancelledAt test confirmed restockable fullyPaid taxesIncluded currencyCode
  note email phone
  displayFinancialStatus displayFulfillmentStatus
  totalPriceSet { shopMoney { amount } }
  totalTaxSet { shopMoney { amount } }
  totalShippingPriceSet { shopMoney { amount } }
  shippingAddress { name company address1 address2 city provinceCode zip countryCodeV2 phone }
}
fragment OrderLine on LineItem {
  id sku title variantTitle quantity
  originalTotalSet { shopMoney { amount } }
  discountAllocations { allocatedAmountSet { shopMoney { amount } } }
  taxLines { priceSet { shopMoney { amount } } }
  variant { id }
}
fragment RefundHead on Refund { id createdAt note totalRefundedSet { shopMoney { amount } } }
fragment RefundLine on RefundLineItem { quantity restockType lineItem { id } }
"""


def _order_fields(lines: int, refunds: int, refund_lines: int, after: str = "") -> str:
    return f"""...OrderHead
    lineItems(first: {lines}{after}) {{ nodes {{ ...OrderLine }} pageInfo {{ hasNextPage endCursor }} }}
    refunds(first: {refunds}) {{
      ...RefundHead
      refundLineItems(first: {refund_lines}) {{ nodes {{ ...RefundLine }} pageInfo {{ hasNextPage endCursor }} }}
    }}"""


#: How many lines and refunds an order of the list is shown with; one that has more is read by itself.
ORDER_REFUNDS_IN_LIST, ORDER_REFUNDS = 2, 5
ORDERS = Document(
    "Orders",
    "orders",
    f"""query Orders($first: Int!, $after: String, $query: String!) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ {_order_fields(5, ORDER_REFUNDS_IN_LIST, 5)} }} pageInfo {{ hasNextPage endCursor }}
  }}
}}{_ORDER}""",
    cost=840,
    partial=True,
)
ORDER = Document(
    "ReadOrder",
    "order",
    f"""query ReadOrder($id: ID!, $after: String) {{
  order(id: $id) {{ {_order_fields(20, ORDER_REFUNDS, 5, ", after: $after")} }}
}}{_ORDER}""",
    cost=273,
    partial=True,
)
ORDER_REFUND_IDS = Document(
    "OrderRefundIds",
    "order",
    "query OrderRefundIds($id: ID!) { order(id: $id) { refunds(first: 250) { id } } }",
    cost=251,
)
REFUND = Document(
    "ReadRefund",
    "refund",
    """query ReadRefund($id: ID!, $after: String) {
  refund(id: $id) {
    id createdAt note totalRefundedSet { shopMoney { amount } }
    refundLineItems(first: 100, after: $after) {
      nodes { quantity restockType lineItem { id } } pageInfo { hasNextPage endCursor }
    }
  }
}""",
    cost=203,
)
FULFILLMENT_ORDERS = Document(
    "FulfillmentOrders",
    "order",
    """query FulfillmentOrders($id: ID!, $after: String) {
  order(id: $id) {
    id cancelledAt displayFulfillmentStatus
    fulfillmentOrders(first: 50, after: $after) {
      nodes { id status assignedLocation { location { id } } supportedActions { action } }
      pageInfo { hasNextPage endCursor }
    }
  }
}""",
    cost=201,
)
FULFILL = Document(
    "Fulfill",
    "fulfillmentCreate",
    """mutation Fulfill($fulfillment: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $fulfillment) { fulfillment { id status } userErrors { field message } }
}""",
    cost=12,
    writes=True,
)
TRANSACTIONS = 100
#: what was paid, and what of it was given back
PAYMENTS = Document(
    "Payments",
    "order",
    f"""query Payments($id: ID!) {{
  order(id: $id) {{
    id currencyCode presentmentCurrencyCode
    transactions(first: {TRANSACTIONS}) {{
      id kind status gateway parentTransaction {{ id }}
      amountSet {{ shopMoney {{ amount }} presentmentMoney {{ amount }} }}
    }}
  }}
}}""",
    cost=501,
)
GIVE_BACK = Document(
    "GiveBack",
    "refundCreate",
    """mutation GiveBack($input: RefundInput!, $key: String!) {
  refundCreate(input: $input) @idempotent(key: $key) { refund { id } userErrors { field message } }
}""",
    cost=12,
    writes=True,
)
