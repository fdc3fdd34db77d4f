-- ARGV: wake channel, then pairs: F (finish) or R (release), member. Returns how many leases were lost before.
local stale, released = 0, false
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
      redis.call('ZADD', queue_of(tenant), score, id)
      released = true
    end
    if redis.call('ZCARD', queue_of(tenant)) > 0 then
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
if released then redis.call('PUBLISH', ARGV[1], '') end
return stale
