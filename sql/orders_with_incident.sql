-- $1 kind
-- By chance, so that incidents which never close do not hide the others.
select order_id from grace.incidents where kind = $1 and closed_at is null order by random() limit 200
