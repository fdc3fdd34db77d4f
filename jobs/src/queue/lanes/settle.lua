-- ARGV: wake channel, then pairs: F (finish) or R (release), member. Returns how many leases were lost before.
local members = {}
for i = 3, #ARGV, 2 do members[#members + 1] = ARGV[i] end
local held = redis.call('ZMSCORE', LEASES, unpack(members))
local any_crashed = redis.call('EXISTS', CRASHES) == 1

local stale, wake = 0, false
local ended, finished, landed = {}, {}, {}
for i, member in ipairs(members) do
  if not held[i] then
    stale = stale + 1
  else
    local _, score, tenant, id = parse_member(member)
    ended[#ended + 1] = member
    landed[tenant] = (landed[tenant] or 0) + 1
    if ARGV[2 * i] == 'F' then
      finished[#finished + 1] = id
    else
      -- A suspect goes back to where it meets no neighbour.
      if any_crashed and tonumber(redis.call('HGET', CRASHES, id) or '0') >= 2 then
        redis.call('LPUSH', QUARANTINE, score .. '|' .. tenant .. '|' .. id)
      else
        redis.call('ZADD', queue_of(tenant), score, id)
      end
      wake = true
    end
  end
end
if #ended > 0 then redis.call('ZREM', LEASES, unpack(ended)) end
if #finished > 0 then
  redis.call('HDEL', JOBS, unpack(finished))
  if any_crashed then redis.call('HDEL', CRASHES, unpack(finished)) end
end
for tenant, jobs in pairs(landed) do
  local left = land(tenant, jobs)
  if redis.call('ZCARD', queue_of(tenant)) > 0 then
    -- A tenant that was at its cap: workers that found nothing to claim have to look again.
    if activate(tenant) then wake = true end
  elseif left == 0 then
    redis.call('HDEL', SHARES, tenant)
  end
end
-- An empty lane keeps nothing of the tenants it served.
if redis.call('EXISTS', JOBS) == 0 then
  redis.call('DEL', READY, FINISH, VTIME, SHARES, FLIGHT, CRASHES, QUARANTINE)
end
if wake then redis.call('PUBLISH', ARGV[1], '') end
return stale
