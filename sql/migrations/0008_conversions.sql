-- When a draft became an order, as it was first seen. Medusa writes it down nowhere, and the rows that tell it change
-- later: a grace period begins once. Kept for as long as the order may be asked about.
create table grace.conversions (
    order_id     text primary key,
    converted_at timestamptz not null
);
