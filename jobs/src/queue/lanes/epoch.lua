-- Returns the run of the server that holds the lane, and the lane's mark.
-- A run has another id after every restart, and on a promoted replica.
return {string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '', redis.call('GET', base .. ':epoch') or ''}
