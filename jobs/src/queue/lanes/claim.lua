-- ARGV: n, lease in ms, most leases to reap, whether a quarantined job may be taken.
-- Returns per job: {member, token, crashes, envelope}.
local n, lease_ms, reap, quarantined = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

-- Expired leases: a first crash puts the job back where it was, from the second on it goes to quarantine, where
-- it meets no neighbour.
for _, member in ipairs(redis.call('ZRANGE', LEASES, '-inf', now, 'BYSCORE', 'LIMIT', 0, reap)) do
  local _, score, tenant, id = parse_member(member)
  redis.call('ZREM', LEASES, member)
  land(tenant)
  if redis.call('HINCRBY', CRASHES, id, 1) >= 2 then
    redis.call('RPUSH', QUARANTINE, score .. '|' .. tenant .. '|' .. id)
  else
    redis.call('ZADD', queue_of(tenant), score, id)
  end
  activate(tenant)
end

local out = {}
local token = math.max(now_us, tonumber(redis.call('GET', base .. ':token') or '0'))
local function lease(tenant, id, score)
  local envelope = redis.call('HGET', JOBS, id)
  if not envelope then return end
  token = token + 1
  local text = string.format('%.0f', token)
  local member = text .. '|' .. string.format('%.0f', score) .. '|' .. tenant .. '|' .. id
  redis.call('ZADD', LEASES, now + lease_ms, member)
  redis.call('HINCRBY', FLIGHT, tenant, 1)
  out[#out + 1] = {member, text, tonumber(redis.call('HGET', CRASHES, id) or '0'), envelope}
end

if quarantined then
  local entry = redis.call('LPOP', QUARANTINE)
  if entry then
    local score, tenant, id = string.match(entry, '^(%d+)|([^|]*)|(.+)$')
    lease(tenant, id, tonumber(score))
  end
end

-- A tenant at the head with nothing queued costs a turn of the loop, so the turns are bounded too.
local vtime
for _ = 1, 2 * n + 16 do
  if #out >= n then break end
  local head = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')
  if #head == 0 then break end
  local tenant, start = head[1], tonumber(head[2])
  local popped = redis.call('ZPOPMIN', queue_of(tenant))
  if #popped == 0 then
    redis.call('ZREM', READY, tenant)
  else
    vtime = start
    lease(tenant, popped[1], tonumber(popped[2]))
    local weight, cap = share_of(tenant)
    local finish = start + 1 / weight
    if in_flight(tenant) < cap and redis.call('ZCARD', queue_of(tenant)) > 0 then
      redis.call('ZADD', READY, finish, tenant)
    else
      redis.call('ZREM', READY, tenant)
      redis.call('ZADD', FINISH, finish, tenant)
    end
  end
end
if vtime then
  redis.call('SET', VTIME, vtime)
  -- A tenant whose finish has passed starts at the present like any other.
  for _, tenant in ipairs(redis.call('ZRANGE', FINISH, '-inf', vtime, 'BYSCORE', 'LIMIT', 0, 100)) do
    redis.call('ZREM', FINISH, tenant)
  end
end
if #out > 0 then redis.call('SET', base .. ':token', string.format('%.0f', token)) end
return out
