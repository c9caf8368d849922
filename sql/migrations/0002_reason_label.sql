-- What a code of CANCEL_REASONS meant to the shopper when the order was canceled; empty for free text.
alter table grace.cancellations add column reason_label text;
