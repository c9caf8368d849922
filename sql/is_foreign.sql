-- $1 installation, $2 id, $3 kind, $4 order_id, $5 generation
-- Is the message about no dispatch that a row of ours ever had?
select not exists (
    select
    from grace.jobs
    where ulid = $2 and kind = $3 and order_id = $4 and generation >= $5
        and exists (select from grace.installation as i where i.id = $1)
)
