-- ARGV: lane window, tenant window, wake channel, then per job: id tenant weight cap priority envelope.
-- Returns per job: 0 queued (now or before), 1 running, 2 window full.
local lane_window, tenant_window = tonumber(ARGV[1]), tonumber(ARGV[2])
-- Places a tenant has in a full lane, so that others' backlogs cannot shut it out.
local RESERVED = 20
local depth = redis.call('HLEN', JOBS)
local results, added = {}, false
for i = 4, #ARGV, 6 do
  local id, tenant, envelope = ARGV[i], ARGV[i + 1], ARGV[i + 5]
  local queue = queue_of(tenant)
  local waiting = redis.call('ZCARD', queue)
  if redis.call('HEXISTS', JOBS, id) == 1 then
    if redis.call('ZSCORE', queue, id) then
      -- The later envelope knows more: the runs that failed meanwhile.
      redis.call('HSET', JOBS, id, envelope)
      results[#results + 1] = 0
    else
      results[#results + 1] = 1
    end
  elseif waiting >= tenant_window or (depth >= lane_window and waiting >= RESERVED) then
    results[#results + 1] = 2
  else
    redis.call('HSET', JOBS, id, envelope)
    redis.call('HSET', SHARES, tenant, ARGV[i + 2] .. ':' .. ARGV[i + 3])
    redis.call('ZADD', queue, tonumber(ARGV[i + 4]) * 1e12 + redis.call('INCR', base .. ':seq'), id)
    activate(tenant)
    depth = depth + 1
    added = true
    results[#results + 1] = 0
  end
end
if added then redis.call('PUBLISH', ARGV[3], '') end
return results
