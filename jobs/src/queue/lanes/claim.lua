-- ARGV: n, lease in ms, most leases to reap, whether a quarantined job may be taken.
-- Returns member, crashes and envelope of each job, one after the other.
local n, lease_ms, reap, quarantined = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
-- An idle lane costs next to nothing.
if redis.call('EXISTS', READY, LEASES, QUARANTINE) == 0 then return {} end
local clock = redis.call('MGET', VTIME, base .. ':token', SEEN, HOLD)
local vtime, token = tonumber(clock[1] or '0'), math.max(now_us, tonumber(clock[2] or '0'))

-- When no worker was heard for half a lease, Redis was out of their reach and their leases expired through no fault of
-- theirs: they get half a lease to renew them.
local hold = tonumber(clock[4] or '0')
if clock[3] and now - tonumber(clock[3]) > math.max(lease_ms / 2, 1500) then
  hold = now + lease_ms / 2
  redis.call('SET', HOLD, hold, 'PX', math.ceil(lease_ms / 2))
end

-- Expired leases: a first crash puts the job back to the front, from the second on it goes to quarantine, where it
-- meets no neighbour.
local expired = hold > now and {} or redis.call('ZRANGE', LEASES, '-inf', now, 'BYSCORE', 'LIMIT', 0, reap)
if #expired > 0 then
  local entries = {}
  for _, member in ipairs(expired) do
    local job = string.sub(member, 17)
    if redis.call('HINCRBY', CRASHES, job, 1) >= SUSPECT then
      redis.call('RPUSH', QUARANTINE, job)
    else
      entries[#entries + 1] = vtime
      entries[#entries + 1] = job
    end
  end
  redis.call('ZREM', LEASES, unpack(expired))
  add_ready(entries)
end

-- What is taken: a suspect, and the ready jobs with the smallest starts.
local suspect = quarantined and redis.call('LPOP', QUARANTINE)
local last = n - (suspect and 2 or 1)
local taken = last >= 0 and redis.call('ZRANGE', READY, 0, last) or {}
if #taken > 0 then
  local start = tonumber(redis.call('ZSCORE', READY, taken[#taken]))
  if start > vtime then vtime = start end
  redis.call('ZREMRANGEBYRANK', READY, 0, last)
end
if suspect then taken[#taken + 1] = suspect end
if #taken == 0 then
  if redis.call('EXISTS', LEASES) == 1 then redis.call('SET', SEEN, now) end
  return {}
end

token = token + 1
local envelopes = redis.call('HMGET', JOBS, unpack(taken))
local crashes = redis.call('EXISTS', CRASHES) == 1 and redis.call('HMGET', CRASHES, unpack(taken)) or {}
local out, leases = {}, {}
local token_text, expiry = string.format('%016d', token), string.format('%d', now + lease_ms)
for i = 1, #taken do
  local member = token_text .. taken[i]
  leases[2 * i - 1], leases[2 * i] = expiry, member
  out[3 * i - 2], out[3 * i - 1], out[3 * i] = member, tonumber(crashes[i] or 0), envelopes[i] or ''
end
redis.call('ZADD', LEASES, unpack(leases))
redis.call('MSET', VTIME, string.format('%.17g', vtime), base .. ':token', string.format('%d', token), SEEN, now)
return out
