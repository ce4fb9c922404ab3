CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (id INTEGER PRIMARY KEY AUTOINCREMENT);

CREATE TABLE IF NOT EXISTS listing (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    sku TEXT NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    price_minor INTEGER,
    quantity INTEGER,
    stock_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS listing_sku ON listing (channel, sku);
CREATE INDEX IF NOT EXISTS listing_parent ON listing (json_extract(doc, '$.parent_id'));
CREATE INDEX IF NOT EXISTS listing_modified ON listing (channel, modified_ms);
CREATE INDEX IF NOT EXISTS listing_ebay_offer ON listing (json_extract(doc, '$.offer_id')) WHERE channel = 'ebay';

-- Every listing ever made, also those deleted since: the proof that none was made twice.
CREATE TABLE IF NOT EXISTS listing_created (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, sku TEXT NOT NULL, at_ms INTEGER NOT NULL, deleted_ms INTEGER
);

CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    placed_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    lines TEXT NOT NULL,
    shipping_minor INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL,
    holds_stock INTEGER NOT NULL,
    refunds TEXT NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_modified ON orders (channel, modified_ms, id);
CREATE INDEX IF NOT EXISTS orders_placed ON orders (channel, placed_ms, id);

CREATE TABLE IF NOT EXISTS refused_order (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL, reason TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS stock_change (
    id INTEGER PRIMARY KEY,
    listing_id INTEGER NOT NULL,
    channel TEXT NOT NULL,
    sku TEXT NOT NULL,
    delta INTEGER NOT NULL,
    quantity_after INTEGER NOT NULL,
    cause TEXT NOT NULL,
    reference TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS stock_change_listing ON stock_change (listing_id);

CREATE TABLE IF NOT EXISTS shipment (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, channel TEXT NOT NULL, carrier TEXT NOT NULL,
    tracking_number TEXT NOT NULL, key TEXT NOT NULL, at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS shipment_order ON shipment (order_id);

-- Labels sold to the seller, and what each cost.
CREATE TABLE IF NOT EXISTS label (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, channel TEXT NOT NULL, external_id TEXT NOT NULL,
    cost_minor INTEGER NOT NULL, status TEXT NOT NULL, at_ms INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS write_log (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, key TEXT NOT NULL,
    status INTEGER NOT NULL, fault TEXT NOT NULL, at_ms INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL, at_s REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nonce (
    nonce TEXT PRIMARY KEY, at_s INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS webhook (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, name TEXT NOT NULL, topics TEXT NOT NULL, url TEXT NOT NULL,
    secret TEXT NOT NULL, status TEXT NOT NULL, failures INTEGER NOT NULL, created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL
);
-- A delivery without a body is built when it is sent, and repeated events wait as one.
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT, webhook_id INTEGER NOT NULL, channel TEXT NOT NULL, topic TEXT NOT NULL,
    resource_id TEXT NOT NULL, delivery_key TEXT NOT NULL, body BLOB, due_s REAL NOT NULL, attempts INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS delivery_once ON delivery (webhook_id, topic, resource_id) WHERE body IS NULL;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (channel, due_s);
CREATE TABLE IF NOT EXISTS webhook_sent (
    id INTEGER PRIMARY KEY, webhook_id INTEGER NOT NULL, channel TEXT NOT NULL, topic TEXT NOT NULL,
    resource_id TEXT NOT NULL, delivery_key TEXT NOT NULL, outcome TEXT NOT NULL, at_s REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS demand (
    channel TEXT NOT NULL, sku TEXT NOT NULL, visits_per_day REAL NOT NULL, PRIMARY KEY (channel, sku)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reference_price (
    sku TEXT PRIMARY KEY, price_minor INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rival (
    id INTEGER PRIMARY KEY, sku TEXT NOT NULL, seller TEXT NOT NULL, strategy TEXT NOT NULL, price_minor INTEGER NOT NULL,
    floor_minor INTEGER NOT NULL, in_stock INTEGER NOT NULL, UNIQUE (sku, seller)
);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, due_ms INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    n INTEGER NOT NULL, doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_due ON event (due_ms, id);
CREATE TABLE IF NOT EXISTS term (
    id INTEGER PRIMARY KEY, taxonomy TEXT NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, parent INTEGER NOT NULL,
    UNIQUE (taxonomy, slug)
);
CREATE TABLE IF NOT EXISTS order_note (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, note TEXT NOT NULL, customer_note INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
);
