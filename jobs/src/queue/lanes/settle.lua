-- ARGV: wake channel, then pairs: F (finish) or R (release), member. Returns how many leases were lost before.
local stale, wake = 0, false
for i = 2, #ARGV, 2 do
  local member = ARGV[i + 1]
  if redis.call('ZREM', LEASES, member) == 0 then
    stale = stale + 1
  else
    local _, score, tenant, id = parse_member(member)
    land(tenant)
    if ARGV[i] == 'F' then
      redis.call('HDEL', JOBS, id)
      redis.call('HDEL', CRASHES, id)
    else
      -- A suspect goes back to where it meets no neighbour.
      if tonumber(redis.call('HGET', CRASHES, id) or '0') >= 2 then
        redis.call('LPUSH', QUARANTINE, score .. '|' .. tenant .. '|' .. id)
      else
        redis.call('ZADD', queue_of(tenant), score, id)
      end
      wake = true
    end
    if redis.call('ZCARD', queue_of(tenant)) > 0 then
      -- A tenant that was at its cap: workers that found nothing to claim have to look again.
      if not redis.call('ZSCORE', READY, tenant) then wake = true end
      activate(tenant)
    elseif in_flight(tenant) == 0 then
      redis.call('HDEL', SHARES, tenant)
    end
  end
end
-- An empty lane keeps nothing of the tenants it served.
if redis.call('HLEN', JOBS) == 0 then
  redis.call('DEL', READY, FINISH, VTIME, SHARES, FLIGHT, CRASHES)
end
if wake then redis.call('PUBLISH', ARGV[1], '') end
return stale
