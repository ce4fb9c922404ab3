"""What is asked of Vendure's Admin API, as GraphQL; the fields that the store's class reads and no others."""

from __future__ import annotations

_VARIANT = """
fragment Variant on ProductVariant {
  id sku name enabled updatedAt trackInventory outOfStockThreshold useGlobalOutOfStockThreshold
  prices { price currencyCode }
  stockLevels { stockOnHand stockAllocated stockLocationId updatedAt }
  options { id name groupId }
  product { id name enabled }
}"""
_PRODUCT = """
fragment Whole on Product {
  id name enabled optionGroups { id name options { id name } }
  variants { id enabled }
}"""
_ORDER = """
fragment Told on Order {
  id code state active updatedAt orderPlacedAt currencyCode totalWithTax shipping
  taxSummary { taxTotal }
  customer { emailAddress phoneNumber }
  shippingAddress {
    fullName company streetLine1 streetLine2 city province postalCode countryCode phoneNumber
  }
  lines {
    id quantity orderPlacedQuantity
    proratedUnitPrice proratedUnitPriceWithTax proratedLinePrice proratedLinePriceWithTax
    productVariant { id sku name }
    fulfillmentLines { quantity fulfillment { state } }
  }
  payments { updatedAt amount state refunds { id total state createdAt updatedAt } }
  fulfillments { id state method trackingCode updatedAt }
  history(options: { take: 1, sort: { createdAt: DESC } }) { items { createdAt } }
}"""

LOGIN = """
mutation ($username: String!, $password: String!) {
  login(username: $username, password: $password, rememberMe: true) {
    __typename ... on ErrorResult { errorCode message }
  }
}"""
#: Channels have a threshold and a tracking of their own too, but Vendure itself goes by the global ones.
SHOP = """{
  activeChannel { code defaultLanguageCode defaultCurrencyCode }
  globalSettings { outOfStockThreshold trackInventory serverConfig { moneyStrategyPrecision } }
}"""
MAY_READ = "{ productVariants(options: { take: 1 }) { totalItems } orders(options: { take: 1 }) { totalItems } }"
#: Changes nothing, and is refused to whoever may change nothing.
MAY_WRITE = "mutation { updateProducts(input: []) { id } }"
LOCATIONS = "{ stockLocations { items { id name } } }"
VARIANT = "query ($id: ID!) { productVariant(id: $id) { ...Variant } }" + _VARIANT
VARIANTS = (
    "query ($options: ProductVariantListOptions!) { productVariants(options: $options) { items { ...Variant } } }"
    + _VARIANT
)
PRODUCT_BY_SLUG = "query ($slug: String!) { product(slug: $slug) { ...Whole } }" + _PRODUCT
PRODUCT_BY_ID = "query ($id: ID!) { product(id: $id) { ...Whole } }" + _PRODUCT
PRODUCTS_BY_NAME = (
    "query ($name: String!) { products(options: { filter: { name: { eq: $name } }, take: 2 }) { items { ...Whole } } }"
    + _PRODUCT
)
CREATE_PRODUCT = "mutation ($input: CreateProductInput!) { made: createProduct(input: $input) { ...Whole } }" + _PRODUCT
UPDATE_PRODUCT = "mutation ($input: UpdateProductInput!) { updateProduct(input: $input) { id } }"
CREATE_GROUP = (
    "mutation ($input: CreateProductOptionGroupInput!) "
    "{ made: createProductOptionGroup(input: $input) { id name options { id name } } }"
)
ADD_GROUP = (
    "mutation ($product: ID!, $group: ID!) "
    "{ addOptionGroupToProduct(productId: $product, optionGroupId: $group) { id } }"
)
CREATE_OPTION = "mutation ($input: CreateProductOptionInput!) { made: createProductOption(input: $input) { id name } }"
CREATE_VARIANT = "mutation ($input: CreateProductVariantInput!) { made: createProductVariants(input: [$input]) { id } }"
UPDATE_VARIANT = "mutation ($input: UpdateProductVariantInput!) { updateProductVariants(input: [$input]) { id } }"
UPDATE_VARIANTS = "mutation ($inputs: [UpdateProductVariantInput!]!) { updateProductVariants(input: $inputs) { id } }"
DELETE_VARIANT = "mutation ($id: ID!) { deleteProductVariant(id: $id) { result message } }"
DELETE_PRODUCT = "mutation ($id: ID!) { deleteProduct(id: $id) { result message } }"
ORDER = "query ($id: ID!) { order(id: $id) { ...Told } }" + _ORDER
ORDERS = "query ($options: OrderListOptions!) { orders(options: $options) { items { ...Told } } }" + _ORDER
FULFILL = """
mutation ($input: FulfillOrderInput!) {
  made: addFulfillmentToOrder(input: $input) {
    __typename ... on Fulfillment { id state } ... on ErrorResult { errorCode message }
  }
}"""
SHIP = """
mutation ($id: ID!) {
  made: transitionFulfillmentToState(id: $id, state: "Shipped") {
    __typename ... on Fulfillment { id state }
    ... on FulfillmentStateTransitionError { errorCode message transitionError }
  }
}"""
