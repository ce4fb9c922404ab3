"""The GraphQL documents sent to the Admin API, version 2026-10. Tests hold every one against the official schema.

`cost` is what Shopify asks for a document at most (calculated query cost: an object 1, a connection as many as it is
asked for, a mutation 10); it is replaced by what the shop's own answers say.
"""

from __future__ import annotations

from dataclasses import dataclass

API_VERSION = "2026-10"

#: Our own notes on products and variants are metafields of this namespace.
NAMESPACE = "flipsync"
PUBLISH_KEY, ENDED_KEY, IMAGES_KEY = "publish_key", "ended_key", "images"
#: Item specifics are metafields of products, or of single variants, in this one: merchants see and change them by name.
SPECIFICS = "specifics"

LISTINGS_PAGE = 100
SKU_PAGE = 3
NODES_PAGE = 100


@dataclass(frozen=True)
class Document:
    """One operation. `root` is the field of the answer that counts; `partial` allows parts the app may not see."""

    name: str
    root: str
    text: str
    cost: float
    writes: bool = False
    partial: bool = False


_SHOWN = """
fragment Shown on ProductVariant {
  id sku title price barcode updatedAt
  publishedOnPublication(publicationId: $publication) @include(if: $published)
  inventoryItem {
    id tracked
    inventoryLevel(locationId: $location) { quantities(names: ["available"]) { name quantity updatedAt } }
  }
  product {
    id title descriptionHtml status hasOnlyDefaultVariant updatedAt
    publishedOnPublication(publicationId: $publication) @include(if: $published)
  }
}
"""
#: With our own notes, which long lists can do without.
_LISTING = (
    """
fragment Listing on ProductVariant {
  ...Shown
  publishKey: metafield(namespace: "flipsync", key: "publish_key") { value }
  endedKey: metafield(namespace: "flipsync", key: "ended_key") { value }
}
"""
    + _SHOWN
)
_PLACE = "$location: ID!, $publication: ID!, $published: Boolean!"

# Account

ACCOUNT = Document(
    "Account",
    "shop",
    """query Account {
  shop { name currencyCode ianaTimezone myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
}""",
    cost=3,
)
#: whether there is but one; a connection costs as many points as are asked for
ONE_LOCATION = Document(
    "OneLocation",
    "locations",
    """query OneLocation {
  locations(first: 2) { nodes { id name isActive } pageInfo { hasNextPage endCursor } }
}""",
    cost=2,
)
LOCATIONS = Document(
    "Locations",
    "locations",
    """query Locations($after: String) {
  locations(first: 10, after: $after) { nodes { id name isActive } pageInfo { hasNextPage endCursor } }
}""",
    cost=10,
)
CATEGORIES = Document(
    "Categories",
    "taxonomy",
    """query Categories($search: String!) {
  taxonomy { categories(search: $search, first: 25) {
    nodes { id name fullName isArchived } pageInfo { hasNextPage endCursor }
  } }
}""",
    cost=26,
)
PUBLICATIONS = Document(
    "Publications",
    "publications",
    """query Publications($after: String) {
  publications(first: 25, after: $after) {
    nodes { id catalog { title } channels(first: 5) { nodes { name handle } } } pageInfo { hasNextPage endCursor }
  }
}""",
    cost=175,
)

# Listings

LISTINGS = Document(
    "Listings",
    "productVariants",
    f"query Listings($first: Int!, $after: String, $query: String, {_PLACE}) {{"
    """
  productVariants(first: $first, after: $after, query: $query, sortKey: ID) {
    nodes { ...Shown } pageInfo { hasNextPage endCursor }
  }
}""" + _SHOWN,
    cost=500,
)
#: inventory adjustments and changes of variants count as updates of their product (Product.updatedAt)
CHANGED = Document(
    "Changed",
    "products",
    """query Changed($first: Int!, $query: String!) {
  products(first: $first, query: $query, sortKey: UPDATED_AT, reverse: true) {
    nodes { id } pageInfo { hasNextPage endCursor }
  }
}""",
    cost=LISTINGS_PAGE,
)
READ_LISTING = Document(
    "ReadListing",
    "productVariant",
    f"query ReadListing($id: ID!, {_PLACE}) {{ productVariant(id: $id) {{ ...Listing }} }}" + _LISTING,
    cost=7,
)
#: With pictures and item specifics, which cost more than all the rest: only to see whether somebody changed them.
READ_WHOLE = Document(
    "ReadWhole",
    "productVariant",
    f"query ReadWhole($id: ID!, {_PLACE}) {{"
    """
  productVariant(id: $id) {
    ...Listing
    specifics: metafields(namespace: "specifics", first: 30) { ...Specifics }
    product {
      media(first: 10) { nodes { id ... on MediaImage { image { url } } } pageInfo { hasNextPage endCursor } }
      specifics: metafields(namespace: "specifics", first: 30) { ...Specifics }
    }
  }
}
fragment Specifics on MetafieldConnection {
  nodes { key value definition { name } } pageInfo { hasNextPage endCursor }
}
""" + _LISTING,
    cost=148,
)
READ_LISTINGS = Document(
    "ReadListings",
    "nodes",
    f"query ReadListings($ids: [ID!]!, {_PLACE}) {{ nodes(ids: $ids) {{ __typename ...Shown }} }}" + _SHOWN,
    cost=500,
)
#: a product and its variants by handle or id; unlike the search, Shopify knows these at once
PRODUCT_SKUS = Document(
    "ProductSkus",
    "productByIdentifier",
    """query ProductSkus($identifier: ProductIdentifierInput!, $after: String) {
  productByIdentifier(identifier: $identifier) {
    id variants(first: 100, after: $after) { nodes { id sku } pageInfo { hasNextPage endCursor } }
  }
}""",
    cost=101,
)
SIBLINGS = Document(
    "Siblings",
    "product",
    """query Siblings($id: ID!, $after: String, $publication: ID!) {
  product(id: $id) {
    id
    variants(first: 100, after: $after) {
      nodes { id publishedOnPublication(publicationId: $publication) } pageInfo { hasNextPage endCursor }
    }
  }
}""",
    cost=101,
)
#: what a revision has to know of a variant and its product before it writes
BEFORE_REVISION = Document(
    "BeforeRevision",
    "productVariant",
    """query BeforeRevision($id: ID!) {
  productVariant(id: $id) {
    selectedOptions { name value }
    product { id images: metafield(namespace: "flipsync", key: "images") { value } }
  }
}""",
    cost=4,
)
#: the pictures that single variants of a product are shown with
VARIANT_PICTURES = Document(
    "VariantPictures",
    "product",
    """query VariantPictures($id: ID!, $after: String) {
  product(id: $id) {
    variants(first: 100, after: $after) {
      nodes { media(first: 1) { nodes { id } pageInfo { hasNextPage endCursor } } } pageInfo { hasNextPage endCursor }
    }
  }
}""",
    cost=201,
)
PRODUCT_SET = Document(
    "SetProduct",
    "productSet",
    f"mutation SetProduct($identifier: ProductSetIdentifiers, $input: ProductSetInput!, {_PLACE}) {{"
    """
  productSet(identifier: $identifier, input: $input, synchronous: true) {
    product { id variants(first: 1) { nodes { ...Listing } pageInfo { hasNextPage endCursor } } }
    userErrors { field message code }
  }
}""" + _LISTING,
    cost=19,
    writes=True,
)
PRODUCT_UPDATE = Document(
    "UpdateProduct",
    "productUpdate",
    """mutation UpdateProduct($product: ProductUpdateInput!) {
  productUpdate(product: $product) { product { id status } userErrors { field message } }
}""",
    cost=12,
    writes=True,
)
VARIANTS_CREATE = Document(
    "CreateVariants",
    "productVariantsBulkCreate",
    f"mutation CreateVariants($product: ID!, $variants: [ProductVariantsBulkInput!]!, {_PLACE}) {{"
    """
  productVariantsBulkCreate(productId: $product, variants: $variants) {
    productVariants { ...Listing } userErrors { field message code }
  }
}""" + _LISTING,
    cost=18,
    writes=True,
)
VARIANTS_UPDATE = Document(
    "UpdateVariants",
    "productVariantsBulkUpdate",
    f"mutation UpdateVariants($product: ID!, $variants: [ProductVariantsBulkInput!]!, {_PLACE}) {{"
    """
  productVariantsBulkUpdate(productId: $product, variants: $variants) {
    productVariants { ...Listing } userErrors { field message code }
  }
}""" + _LISTING,
    cost=18,
    writes=True,
)
PUBLISH = Document(
    "Publish",
    "publishablePublish",
    """mutation Publish($id: ID!, $input: [PublicationInput!]!) {
  publishablePublish(id: $id, input: $input) { userErrors { field message } }
}""",
    cost=11,
    writes=True,
)
UNPUBLISH = Document(
    "Unpublish",
    "publishableUnpublish",
    """mutation Unpublish($id: ID!, $input: [PublicationInput!]!) {
  publishableUnpublish(id: $id, input: $input) { userErrors { field message } }
}""",
    cost=11,
    writes=True,
)

# Everything at once

EXPORT = Document(
    "Export",
    "bulkOperationRunQuery",
    """mutation Export($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id status url } userErrors { field message code } }
}""",
    cost=12,
    writes=True,
)
EXPORTED = Document(
    "Exported",
    "bulkOperation",
    """query Exported($id: ID!) { bulkOperation(id: $id) { id status errorCode url } }""",
    cost=1,
)


def counted_variants(location: str) -> str:
    """What is exported to know every variant whose stock is counted at the location. Whether it is published is left
    out: that costs more to ask for than all of the rest."""
    return f"""{{
  productVariants {{ edges {{ node {{
    id sku title price barcode updatedAt
    inventoryItem {{
      id tracked inventoryLevel(locationId: "{location}") {{ quantities(names: ["available"]) {{ name quantity }} }}
    }}
    product {{ id title status hasOnlyDefaultVariant updatedAt }}
  }} }} }}
}}"""


# Item specifics

DEFINITIONS = Document(
    "Definitions",
    "metafieldDefinitions",
    """query Definitions($owner: MetafieldOwnerType!, $after: String) {
  metafieldDefinitions(ownerType: $owner, namespace: "specifics", first: 100, after: $after) {
    nodes { key name } pageInfo { hasNextPage endCursor }
  }
}""",
    cost=100,
)
DEFINE = Document(
    "Define",
    "metafieldDefinitionCreate",
    """mutation Define($definition: MetafieldDefinitionInput!) {
  metafieldDefinitionCreate(definition: $definition) {
    createdDefinition { key name } userErrors { field message code }
  }
}""",
    cost=12,
    writes=True,
)

# Stock

SET_QUANTITIES = Document(
    "SetQuantities",
    "inventorySetQuantities",
    """mutation SetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { changes(quantityNames: ["available"]) { delta quantityAfterChange item { id } } }
    userErrors { field message code }
  }
}""",
    cost=14,
    writes=True,
)
ACTIVATE_STOCK = Document(
    "ActivateStock",
    "inventoryActivate",
    """mutation ActivateStock($item: ID!, $location: ID!, $available: Int!, $key: String!) {
  inventoryActivate(inventoryItemId: $item, locationId: $location, available: $available) @idempotent(key: $key) {
    inventoryLevel { id } userErrors { field message }
  }
}""",
    cost=12,
    writes=True,
)

# Webhooks

SUBSCRIPTIONS = Document(
    "Subscriptions",
    "webhookSubscriptions",
    """query Subscriptions($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    nodes { id topic uri format filter includeFields } pageInfo { hasNextPage endCursor }
  }
}""",
    cost=100,
)
SUBSCRIBE = Document(
    "Subscribe",
    "webhookSubscriptionCreate",
    """mutation Subscribe($topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {
    webhookSubscription { id topic uri format filter includeFields } userErrors { field message }
  }
}""",
    cost=12,
    writes=True,
)
RESUBSCRIBE = Document(
    "Resubscribe",
    "webhookSubscriptionUpdate",
    """mutation Resubscribe($id: ID!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $subscription) {
    webhookSubscription { id topic uri format filter includeFields } userErrors { field message }
  }
}""",
    cost=12,
    writes=True,
)
UNSUBSCRIBE = Document(
    "Unsubscribe",
    "webhookSubscriptionDelete",
    """mutation Unsubscribe($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}""",
    cost=11,
    writes=True,
)
