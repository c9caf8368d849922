-- The tables of Medusa 2.21.2 that a cancellation, a capture and their checks read or write: same columns, types,
-- defaults, checks, keys and indexes. Foreign keys to tables that are not here are left out.

CREATE TYPE order_status_enum AS ENUM ('pending', 'completed', 'draft', 'archived', 'canceled', 'requires_action');
CREATE TYPE return_status_enum AS ENUM ('open', 'requested', 'received', 'partially_received', 'canceled');
CREATE SEQUENCE order_change_action_ordering_seq;
CREATE SEQUENCE order_display_id_seq AS integer;
CREATE SEQUENCE return_display_id_seq AS integer;

-- Who asks

CREATE TABLE customer (
    id text PRIMARY KEY,
    company_name text, first_name text, last_name text, email text, phone text,
    has_account boolean NOT NULL DEFAULT false, metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    created_by text
);
CREATE UNIQUE INDEX "IDX_customer_email_has_account_unique" ON customer (email, has_account) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_customer_deleted_at" ON customer (deleted_at) WHERE deleted_at IS NULL;

CREATE TABLE api_key (
    id text PRIMARY KEY,
    token text NOT NULL, salt text NOT NULL, redacted text NOT NULL, title text NOT NULL, type text NOT NULL,
    last_used_at timestamptz, created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    revoked_by text, revoked_at timestamptz,
    CONSTRAINT api_key_type_check CHECK (type IN ('publishable', 'secret'))
);
CREATE UNIQUE INDEX "IDX_api_key_token_unique" ON api_key (token);
CREATE INDEX "IDX_api_key_deleted_at" ON api_key (deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_api_key_redacted" ON api_key (redacted) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_api_key_revoked_at" ON api_key (revoked_at) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_api_key_type" ON api_key (type);

CREATE TABLE publishable_api_key_sales_channel (
    publishable_key_id varchar(255) NOT NULL, sales_channel_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP, deleted_at timestamptz,
    PRIMARY KEY (publishable_key_id, sales_channel_id)
);
CREATE INDEX "IDX_deleted_at_-1d67bae40" ON publishable_api_key_sales_channel (deleted_at);
CREATE INDEX "IDX_id_-1d67bae40" ON publishable_api_key_sales_channel (id);
CREATE INDEX "IDX_publishable_key_id_-1d67bae40" ON publishable_api_key_sales_channel (publishable_key_id)
    WHERE deleted_at IS NULL;
CREATE INDEX "IDX_sales_channel_id_-1d67bae40" ON publishable_api_key_sales_channel (sales_channel_id)
    WHERE deleted_at IS NULL;

-- The order

CREATE TABLE "order" (
    id text PRIMARY KEY,
    region_id text, display_id integer DEFAULT nextval('order_display_id_seq'), customer_id text,
    version integer NOT NULL DEFAULT 1, sales_channel_id text, status order_status_enum NOT NULL DEFAULT 'pending',
    is_draft_order boolean NOT NULL DEFAULT false, email text, currency_code text NOT NULL, shipping_address_id text,
    billing_address_id text, no_notification boolean, metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    canceled_at timestamptz, custom_display_id text, locale text
);
CREATE UNIQUE INDEX "IDX_order_custom_display_id" ON "order" (custom_display_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_billing_address_id" ON "order" (billing_address_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_currency_code" ON "order" (currency_code) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_customer_id" ON "order" (customer_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_deleted_at" ON "order" (deleted_at);
CREATE INDEX "IDX_order_display_id" ON "order" (display_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_is_draft_order" ON "order" (is_draft_order) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_region_id" ON "order" (region_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_sales_channel_id" ON "order" (sales_channel_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_address_id" ON "order" (shipping_address_id) WHERE deleted_at IS NULL;

CREATE TABLE order_line_item (
    id text PRIMARY KEY,
    totals_id text, title text NOT NULL, subtitle text, thumbnail text, variant_id text, product_id text,
    product_title text, product_description text, product_subtitle text, product_type text, product_collection text,
    product_handle text, variant_sku text, variant_barcode text, variant_title text, variant_option_values jsonb,
    requires_shipping boolean NOT NULL DEFAULT true, is_discountable boolean NOT NULL DEFAULT true,
    is_tax_inclusive boolean NOT NULL DEFAULT false,
    compare_at_unit_price numeric, raw_compare_at_unit_price jsonb,
    unit_price numeric NOT NULL, raw_unit_price jsonb NOT NULL,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    is_custom_price boolean NOT NULL DEFAULT false, product_type_id text, is_giftcard boolean NOT NULL DEFAULT false
);
CREATE INDEX "IDX_line_item_product_type_id" ON order_line_item (product_type_id)
    WHERE deleted_at IS NULL AND product_type_id IS NOT NULL;
CREATE INDEX "IDX_order_line_item_product_id" ON order_line_item (product_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_line_item_variant_id" ON order_line_item (variant_id) WHERE deleted_at IS NULL;

CREATE TABLE order_item (
    id text PRIMARY KEY,
    order_id text NOT NULL, version integer NOT NULL, item_id text NOT NULL,
    quantity numeric NOT NULL, raw_quantity jsonb NOT NULL,
    fulfilled_quantity numeric NOT NULL,
    raw_fulfilled_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    shipped_quantity numeric NOT NULL, raw_shipped_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    return_requested_quantity numeric NOT NULL,
    raw_return_requested_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    return_received_quantity numeric NOT NULL,
    raw_return_received_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    return_dismissed_quantity numeric NOT NULL,
    raw_return_dismissed_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    written_off_quantity numeric NOT NULL,
    raw_written_off_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    delivered_quantity numeric NOT NULL DEFAULT 0,
    raw_delivered_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
    unit_price numeric, raw_unit_price jsonb,
    compare_at_unit_price numeric, raw_compare_at_unit_price jsonb,
    CONSTRAINT order_item_item_id_foreign
        FOREIGN KEY (item_id) REFERENCES order_line_item(id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT order_item_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_item_deleted_at" ON order_item (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_order_item_item_id" ON order_item (item_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_item_order_id" ON order_item (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_item_order_id_version" ON order_item (order_id, version) WHERE deleted_at IS NULL;

CREATE TABLE order_summary (
    id text PRIMARY KEY,
    order_id text NOT NULL, version integer NOT NULL DEFAULT 1, totals jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    CONSTRAINT order_summary_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_summary_deleted_at" ON order_summary (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_order_summary_order_id_version" ON order_summary (order_id, version) WHERE deleted_at IS NULL;

CREATE TABLE order_shipping (
    id text PRIMARY KEY,
    order_id text NOT NULL, version integer NOT NULL, shipping_method_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    return_id text, claim_id text, exchange_id text,
    CONSTRAINT order_shipping_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_shipping_claim_id" ON order_shipping (claim_id)
    WHERE claim_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_deleted_at" ON order_shipping (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_order_shipping_exchange_id" ON order_shipping (exchange_id)
    WHERE exchange_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_item_id" ON order_shipping (shipping_method_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_order_id" ON order_shipping (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_order_id_version" ON order_shipping (order_id, version) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_return_id" ON order_shipping (return_id)
    WHERE return_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_shipping_shipping_method_id" ON order_shipping (shipping_method_id) WHERE deleted_at IS NULL;

CREATE TABLE order_line_item_adjustment (
    id text PRIMARY KEY,
    description text, promotion_id text, code text,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    provider_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    item_id text NOT NULL, is_tax_inclusive boolean NOT NULL DEFAULT false, version integer NOT NULL DEFAULT 1,
    CONSTRAINT order_line_item_adjustment_item_id_foreign
        FOREIGN KEY (item_id) REFERENCES order_line_item(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_line_item_adjustment_item_id" ON order_line_item_adjustment (item_id) WHERE deleted_at IS NULL;

CREATE TABLE order_transaction (
    id text PRIMARY KEY,
    order_id text NOT NULL, version integer NOT NULL DEFAULT 1,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    currency_code text NOT NULL, reference text, reference_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    return_id text, claim_id text, exchange_id text,
    CONSTRAINT order_transaction_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_transaction_claim_id" ON order_transaction (claim_id)
    WHERE claim_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_currency_code" ON order_transaction (currency_code) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_exchange_id" ON order_transaction (exchange_id)
    WHERE exchange_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_order_id" ON order_transaction (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_order_id_version" ON order_transaction (order_id, version) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_reference_id" ON order_transaction (reference_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_transaction_return_id" ON order_transaction (return_id)
    WHERE return_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE order_credit_line (
    id text PRIMARY KEY,
    order_id text NOT NULL, reference text, reference_id text,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    CONSTRAINT order_credit_line_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_credit_line_deleted_at" ON order_credit_line (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_order_credit_line_order_id" ON order_credit_line (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_credit_line_order_id_version" ON order_credit_line (order_id, version) WHERE deleted_at IS NULL;

CREATE TABLE order_line_item_tax_line (
    id text PRIMARY KEY,
    description text, tax_rate_id text, code text NOT NULL, rate numeric NOT NULL, raw_rate jsonb NOT NULL,
    provider_id text, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    item_id text NOT NULL, deleted_at timestamptz, data jsonb, metadata jsonb,
    CONSTRAINT order_line_item_tax_line_item_id_foreign
        FOREIGN KEY (item_id) REFERENCES order_line_item(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_line_item_tax_line_item_id" ON order_line_item_tax_line (item_id) WHERE deleted_at IS NULL;

CREATE TABLE order_change (
    id text PRIMARY KEY,
    order_id text NOT NULL, version integer NOT NULL, description text, status text NOT NULL DEFAULT 'pending',
    internal_note text, created_by text, requested_by text, requested_at timestamptz, confirmed_by text,
    confirmed_at timestamptz, declined_by text, declined_reason text, metadata jsonb, declined_at timestamptz,
    canceled_by text, canceled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    change_type text, return_id text, claim_id text, exchange_id text, carry_over_promotions boolean,
    no_notification boolean,
    CONSTRAINT order_change_status_check
        CHECK (status IN ('confirmed', 'declined', 'requested', 'pending', 'canceled')),
    CONSTRAINT order_change_order_id_foreign
        FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_change_change_type" ON order_change (change_type);
CREATE INDEX "IDX_order_change_claim_id" ON order_change (claim_id) WHERE claim_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_change_deleted_at" ON order_change (deleted_at);
CREATE INDEX "IDX_order_change_exchange_id" ON order_change (exchange_id)
    WHERE exchange_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_change_order_id" ON order_change (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_change_order_id_version" ON order_change (order_id, version);
CREATE INDEX "IDX_order_change_return_id" ON order_change (return_id)
    WHERE return_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_change_status" ON order_change (status) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_change_version" ON order_change (order_id, version) WHERE deleted_at IS NULL;

CREATE TABLE order_change_action (
    id text PRIMARY KEY,
    order_id text, version integer, ordering bigint NOT NULL DEFAULT nextval('order_change_action_ordering_seq'),
    order_change_id text, reference text, reference_id text, action text NOT NULL, details jsonb,
    amount numeric, raw_amount jsonb,
    internal_note text, applied boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    return_id text, claim_id text, exchange_id text,
    CONSTRAINT order_change_action_order_change_id_foreign
        FOREIGN KEY (order_change_id) REFERENCES order_change(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_order_change_action_claim_id" ON order_change_action (claim_id)
    WHERE claim_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_change_action_deleted_at" ON order_change_action (deleted_at);
CREATE INDEX "IDX_order_change_action_exchange_id" ON order_change_action (exchange_id)
    WHERE exchange_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_order_change_action_order_change_id" ON order_change_action (order_change_id)
    WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_change_action_order_id" ON order_change_action (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_change_action_ordering" ON order_change_action (ordering) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_order_change_action_return_id" ON order_change_action (return_id)
    WHERE return_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE "return" (
    id text PRIMARY KEY,
    order_id text NOT NULL, claim_id text, exchange_id text, order_version integer NOT NULL,
    display_id integer NOT NULL DEFAULT nextval('return_display_id_seq'),
    status return_status_enum NOT NULL DEFAULT 'open', no_notification boolean,
    refund_amount numeric, raw_refund_amount jsonb,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    received_at timestamptz, canceled_at timestamptz, location_id text, requested_at timestamptz, created_by text
);
CREATE INDEX "IDX_return_claim_id" ON "return" (claim_id) WHERE claim_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_return_display_id" ON "return" (display_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_return_exchange_id" ON "return" (exchange_id) WHERE exchange_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX "IDX_return_order_id" ON "return" (order_id) WHERE deleted_at IS NULL;

-- Its payments

CREATE TABLE payment_collection (
    id text PRIMARY KEY,
    currency_code text NOT NULL,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    authorized_amount numeric, raw_authorized_amount jsonb,
    captured_amount numeric, raw_captured_amount jsonb,
    refunded_amount numeric, raw_refunded_amount jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    completed_at timestamptz, status text NOT NULL DEFAULT 'not_paid', metadata jsonb,
    CONSTRAINT payment_collection_status_check
        CHECK (status IN ('not_paid', 'awaiting', 'authorized', 'partially_authorized', 'canceled', 'failed',
               'partially_captured', 'completed'))
);
CREATE INDEX "IDX_payment_collection_deleted_at" ON payment_collection (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE payment_session (
    id text PRIMARY KEY,
    currency_code text NOT NULL,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    provider_id text NOT NULL, data jsonb NOT NULL DEFAULT '{}', context jsonb,
    status text NOT NULL DEFAULT 'pending', authorized_at timestamptz, payment_collection_id text NOT NULL,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    CONSTRAINT payment_session_status_check
        CHECK (status IN ('authorized', 'captured', 'pending', 'requires_more', 'error', 'canceled',
               'pending_authorization')),
    CONSTRAINT payment_session_payment_collection_id_foreign
        FOREIGN KEY (payment_collection_id) REFERENCES payment_collection(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_payment_session_deleted_at" ON payment_session (deleted_at);
CREATE INDEX "IDX_payment_session_payment_collection_id" ON payment_session (payment_collection_id)
    WHERE deleted_at IS NULL;

CREATE TABLE payment (
    id text PRIMARY KEY,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    currency_code text NOT NULL, provider_id text NOT NULL, data jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    captured_at timestamptz, canceled_at timestamptz, payment_collection_id text NOT NULL,
    payment_session_id text NOT NULL, metadata jsonb,
    CONSTRAINT payment_payment_collection_id_foreign
        FOREIGN KEY (payment_collection_id) REFERENCES payment_collection(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "IDX_payment_payment_session_id_unique" ON payment (payment_session_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_payment_deleted_at" ON payment (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_payment_payment_collection_id" ON payment (payment_collection_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_payment_payment_session_id" ON payment (payment_session_id);
CREATE INDEX "IDX_payment_provider_id" ON payment (provider_id) WHERE deleted_at IS NULL;

CREATE TABLE capture (
    id text PRIMARY KEY,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    payment_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    created_by text, metadata jsonb,
    CONSTRAINT capture_payment_id_foreign
        FOREIGN KEY (payment_id) REFERENCES payment(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_capture_deleted_at" ON capture (deleted_at);
CREATE INDEX "IDX_capture_payment_id" ON capture (payment_id) WHERE deleted_at IS NULL;

CREATE TABLE refund (
    id text PRIMARY KEY,
    amount numeric NOT NULL, raw_amount jsonb NOT NULL,
    payment_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    created_by text, metadata jsonb, refund_reason_id text, note text,
    CONSTRAINT refund_payment_id_foreign
        FOREIGN KEY (payment_id) REFERENCES payment(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_refund_deleted_at" ON refund (deleted_at);
CREATE INDEX "IDX_refund_payment_id" ON refund (payment_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_refund_refund_reason_id" ON refund (refund_reason_id) WHERE deleted_at IS NULL;

CREATE TABLE order_payment_collection (
    order_id varchar(255) NOT NULL, payment_collection_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP, deleted_at timestamptz,
    PRIMARY KEY (order_id, payment_collection_id)
);
CREATE INDEX "IDX_deleted_at_f42b9949" ON order_payment_collection (deleted_at);
CREATE INDEX "IDX_id_f42b9949" ON order_payment_collection (id);
CREATE INDEX "IDX_order_id_f42b9949" ON order_payment_collection (order_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_payment_collection_id_f42b9949" ON order_payment_collection (payment_collection_id)
    WHERE deleted_at IS NULL;

CREATE TABLE order_cart (
    order_id varchar(255) NOT NULL, cart_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP, deleted_at timestamptz,
    PRIMARY KEY (order_id, cart_id)
);
CREATE INDEX "IDX_cart_id_-71069c16" ON order_cart (cart_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_deleted_at_-71069c16" ON order_cart (deleted_at);
CREATE INDEX "IDX_id_-71069c16" ON order_cart (id);
CREATE INDEX "IDX_order_id_-71069c16" ON order_cart (order_id) WHERE deleted_at IS NULL;

CREATE TABLE cart_payment_collection (
    cart_id varchar(255) NOT NULL, payment_collection_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP, deleted_at timestamptz,
    PRIMARY KEY (cart_id, payment_collection_id)
);
CREATE INDEX "IDX_cart_id_-4a39f6c9" ON cart_payment_collection (cart_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_deleted_at_-4a39f6c9" ON cart_payment_collection (deleted_at);
CREATE INDEX "IDX_id_-4a39f6c9" ON cart_payment_collection (id);
CREATE INDEX "IDX_payment_collection_id_-4a39f6c9" ON cart_payment_collection (payment_collection_id)
    WHERE deleted_at IS NULL;

-- Its stock

CREATE TABLE inventory_item (
    id text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    sku text, origin_country text, hs_code text, mid_code text, material text, weight integer, length integer,
    height integer, width integer, requires_shipping boolean NOT NULL DEFAULT true, description text, title text,
    thumbnail text, metadata jsonb, unit_of_measure text
);
CREATE UNIQUE INDEX "IDX_inventory_item_sku" ON inventory_item (sku) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_inventory_item_deleted_at" ON inventory_item (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE inventory_level (
    id text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    inventory_item_id text NOT NULL, location_id text NOT NULL,
    stocked_quantity numeric NOT NULL DEFAULT 0, raw_stocked_quantity jsonb,
    reserved_quantity numeric NOT NULL DEFAULT 0, raw_reserved_quantity jsonb,
    incoming_quantity numeric NOT NULL DEFAULT 0, raw_incoming_quantity jsonb,
    metadata jsonb,
    CONSTRAINT inventory_level_inventory_item_id_foreign
        FOREIGN KEY (inventory_item_id) REFERENCES inventory_item(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "IDX_inventory_level_location_id_inventory_item_id"
    ON inventory_level (inventory_item_id, location_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_inventory_level_deleted_at" ON inventory_level (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_inventory_level_inventory_item_id" ON inventory_level (inventory_item_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_inventory_level_location_id" ON inventory_level (location_id) WHERE deleted_at IS NULL;

CREATE TABLE reservation_item (
    id text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    line_item_id text, location_id text NOT NULL,
    quantity numeric NOT NULL, raw_quantity jsonb,
    external_id text, description text, created_by text, metadata jsonb, inventory_item_id text NOT NULL,
    allow_backorder boolean DEFAULT false,
    CONSTRAINT reservation_item_inventory_item_id_foreign
        FOREIGN KEY (inventory_item_id) REFERENCES inventory_item(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_reservation_item_deleted_at" ON reservation_item (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_reservation_item_inventory_item_id" ON reservation_item (inventory_item_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_reservation_item_line_item_id" ON reservation_item (line_item_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_reservation_item_location_id" ON reservation_item (location_id) WHERE deleted_at IS NULL;

-- Its parcels

CREATE TABLE fulfillment (
    id text PRIMARY KEY,
    location_id text NOT NULL, packed_at timestamptz, shipped_at timestamptz, delivered_at timestamptz,
    canceled_at timestamptz, data jsonb, provider_id text, shipping_option_id text, metadata jsonb,
    delivery_address_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    marked_shipped_by text, created_by text, requires_shipping boolean NOT NULL DEFAULT true
);
CREATE INDEX "IDX_fulfillment_deleted_at" ON fulfillment (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_fulfillment_location_id" ON fulfillment (location_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_fulfillment_shipping_option_id" ON fulfillment (shipping_option_id) WHERE deleted_at IS NULL;

CREATE TABLE fulfillment_item (
    id text PRIMARY KEY,
    title text NOT NULL, sku text NOT NULL, barcode text NOT NULL,
    quantity numeric NOT NULL, raw_quantity jsonb NOT NULL,
    line_item_id text, inventory_item_id text, fulfillment_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
    CONSTRAINT fulfillment_item_fulfillment_id_foreign
        FOREIGN KEY (fulfillment_id) REFERENCES fulfillment(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "IDX_fulfillment_item_deleted_at" ON fulfillment_item (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX "IDX_fulfillment_item_fulfillment_id" ON fulfillment_item (fulfillment_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_fulfillment_item_inventory_item_id" ON fulfillment_item (inventory_item_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_fulfillment_item_line_item_id" ON fulfillment_item (line_item_id) WHERE deleted_at IS NULL;

CREATE TABLE order_fulfillment (
    order_id varchar(255) NOT NULL, fulfillment_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP, deleted_at timestamptz,
    PRIMARY KEY (order_id, fulfillment_id)
);
CREATE INDEX "IDX_deleted_at_-e8d2543e" ON order_fulfillment (deleted_at);
CREATE INDEX "IDX_fulfillment_id_-e8d2543e" ON order_fulfillment (fulfillment_id) WHERE deleted_at IS NULL;
CREATE INDEX "IDX_id_-e8d2543e" ON order_fulfillment (id);
CREATE INDEX "IDX_order_id_-e8d2543e" ON order_fulfillment (order_id) WHERE deleted_at IS NULL;

-- Where tables name one another, and whose the sequences are

ALTER TABLE order_line_item ADD CONSTRAINT order_line_item_totals_id_foreign
    FOREIGN KEY (totals_id) REFERENCES order_item(id) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER SEQUENCE order_change_action_ordering_seq OWNED BY order_change_action.ordering;
ALTER SEQUENCE order_display_id_seq OWNED BY "order".display_id;
ALTER SEQUENCE return_display_id_seq OWNED BY "return".display_id;
