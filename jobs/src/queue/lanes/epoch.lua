-- Returns the run of the server that holds the lane, which has another id after every restart and on a promoted replica, and
-- the lane's note.
return {string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '', redis.call('GET', base .. ':epoch') or ''}
