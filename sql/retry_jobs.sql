-- $1 order_id, $2 kind
-- Failing jobs are due now, under the key that their last outcome left them: the same after an unknown one. What was
-- given up is taken up, under a new key, since its last outcome was definite. What is queued or runs is tried already.
update grace.jobs
set state = 'scheduled', run_at = now(), key_number = key_number + (state = 'dead')::int, updated_at = now()
where order_id = $1 and (kind = $2 and (state = 'dead' or (state = 'scheduled' and failures > 0))) is true
returning id, subject
