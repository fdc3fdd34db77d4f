-- Adds jobs that were just written, hands in the leases that ended, and takes new ones: each part as far as it is asked for.
--
-- ARGV: lease in ms, most leases to reap, wake channel, lane window, tenant window, jobs wanted, whether one may be a suspect,
-- how many members there are, how many of them are finished (they come first; the others are released), members, then per job
-- that is added: id tenant weight cap priority envelope.
-- Returns how many leases were lost before; per job added 0 queued (now or before), 1 running or 2 window full; how many jobs of
-- the lane no worker has; and member, crashes and envelope of each job taken, one after the other.
local lease_ms, reap, channel = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local lane_window, tenant_window = tonumber(ARGV[4]), tonumber(ARGV[5])
local wanted, quarantined = tonumber(ARGV[6]), ARGV[7] == '1'
local members, finishes, FIRST = tonumber(ARGV[8]), tonumber(ARGV[9]), 10
local ADDED = FIRST + members
local adds = ADDED <= #ARGV
-- Places a tenant has in a full lane, so that others' backlogs cannot shut it out.
local RESERVED = 20
-- An idle lane costs next to nothing.
if #ARGV < FIRST and redis.call('EXISTS', READY, LEASES, QUARANTINE) == 0 then return {0, {}, 0, {}} end
local clock = redis.call('MGET', VTIME, TOKEN, SEEN, HOLD)
local vtime, token, seen, hold = tonumber(clock[1] or '0'), tonumber(clock[2] or '0'), clock[3], tonumber(clock[4] or '0')
local any_crashed = redis.call('EXISTS', CRASHES) == 1
-- Jobs that become ready here, and whether workers that may be asleep have to hear of it.
local entries, wake = {}, false

-- 1. What ended.
local stale, landed, names = 0, {}, {}
if members > 0 then
  local held, finished = {}, {}
  for i, score in ipairs(redis.call('ZMSCORE', LEASES, unpack(ARGV, FIRST, ADDED - 1))) do
    local member = ARGV[FIRST - 1 + i]
    local job = score and string.sub(member, 9)
    if not score then
      stale = stale + 1
    elseif i <= finishes then
      finished[#finished + 1] = job
      local name = string.sub(member, 25)
      local jobs = landed[name]
      if not jobs then names[#names + 1] = name end
      landed[name] = (jobs or 0) + 1
    elseif any_crashed and tonumber(redis.call('HGET', CRASHES, job) or 0) >= SUSPECT then
      -- A suspect goes back to where it meets no neighbour.
      redis.call('LPUSH', QUARANTINE, job)
      wake = true
    else
      -- Before all that was never claimed; with equal starts, ids order by age.
      entries[#entries + 1] = vtime
      entries[#entries + 1] = job
    end
    if score then held[#held + 1] = member end
  end
  if #held > 0 then redis.call('ZREM', LEASES, unpack(held)) end
  if #finished > 0 then
    redis.call('HDEL', JOBS, unpack(finished))
    if any_crashed then redis.call('HDEL', CRASHES, unpack(finished)) end
    -- An empty lane keeps nothing of the tenants it served.
    if not adds and redis.call('EXISTS', JOBS) == 0 then
      redis.call('DEL', READY, VTIME, TENANTS, CRASHES, QUARANTINE, SEEN, HOLD)
      return {stale, {}, 0, {}}
    end
    -- One more record is looked at each time, so that tenants that stay away are forgotten sooner or later.
    local other = redis.call('HRANDFIELD', TENANTS)
    if other and not landed[other] then
      names[#names + 1] = other
      landed[other] = 0
    end
  end
end

-- 2. What is added, once the tenants' places that became free are known.
for i = ADDED + 1, #ARGV, 6 do
  if not landed[ARGV[i]] then
    names[#names + 1] = ARGV[i]
    landed[ARGV[i]] = 0
  end
end
load_tenants(names)
for name, jobs in pairs(landed) do
  local tenant = touched[name]
  tenant.active = math.max(tenant.active - jobs, 0)
  -- What waited for one of its tenant's jobs to finish is ready now: a few at a time, which spares most of the look-ups.
  local room, step = tenant.cap - tenant.active, math.min(math.ceil(tenant.cap / 8), 8)
  if tenant.waiting > 0 and room >= step then
    -- After a cap was raised, no more than twice what finished, so that the work stays in proportion.
    make_next_ready(name, tenant, math.min(room, math.max(2 * jobs, step)), vtime, entries)
  end
end
local results, depth = {}, adds and redis.call('HLEN', JOBS)
for i = ADDED, #ARGV, 6 do
  local name, priority, envelope = ARGV[i + 1], tonumber(ARGV[i + 4]), ARGV[i + 5]
  local job, tenant = ARGV[i] .. name, touched[name]
  local held = tenant.active + tenant.waiting
  local full = held >= tenant_window or (depth >= lane_window and held >= RESERVED)
  local result = 0
  if full and redis.call('HEXISTS', JOBS, job) == 0 then
    result = 2
  elseif full or redis.call('HSETNX', JOBS, job, envelope) == 0 then
    if not (redis.call('ZSCORE', READY, job) or waits_in_line(name, job)) then
      result = 1
    elseif cjson.decode(envelope).relayed then
      -- The relay's envelope knows more: the runs that failed meanwhile. A late one of the enqueuer's does not.
      redis.call('HSET', JOBS, job, envelope)
    end
  else
    tenant.weight, tenant.cap = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    if tenant.waiting == 0 and tenant.active < tenant.cap then
      make_ready(tenant, job, priority, vtime, entries)
    else
      wait_in_line(name, tenant, job, priority)
    end
    depth = depth + 1
  end
  results[#results + 1] = result
end
if #names > 0 then save_tenants(vtime) end

-- 3. What expired. When no worker was heard for half a lease, Redis was out of their reach and their leases expired through no
-- fault of theirs: they get half a lease to renew them. A first crash puts the job back to the front, from the second on it
-- goes to quarantine, where it meets no neighbour.
if wanted > 0 then
  if seen and now - tonumber(seen) > math.max(lease_ms / 2, 1500) then
    hold = now + lease_ms / 2
    redis.call('SET', HOLD, hold, 'PX', math.ceil(lease_ms / 2))
  end
  local expired = hold > now and {} or redis.call('ZRANGE', LEASES, '-inf', now, 'BYSCORE', 'LIMIT', 0, reap)
  for _, member in ipairs(expired) do
    local job = string.sub(member, 9)
    any_crashed = true
    if redis.call('HINCRBY', CRASHES, job, 1) >= SUSPECT then
      redis.call('RPUSH', QUARANTINE, job)
      wake = true
    else
      entries[#entries + 1] = vtime
      entries[#entries + 1] = job
    end
  end
  if #expired > 0 then redis.call('ZREM', LEASES, unpack(expired)) end
end
if add_ready(entries) then wake = true end

-- 4. What is taken: a suspect, and the ready jobs with the smallest starts.
local suspect = wanted > 0 and quarantined and redis.call('LPOP', QUARANTINE)
local last = wanted - (suspect and 2 or 1)
local taken = last >= 0 and redis.call('ZRANGE', READY, 0, last) or {}
if #taken > 0 then
  local start = tonumber(redis.call('ZSCORE', READY, taken[#taken]))
  if start > vtime then vtime = start end
  redis.call('ZREMRANGEBYRANK', READY, 0, last)
end
if suspect then taken[#taken + 1] = suspect end
-- Those that were taken need nobody else.
if wake and redis.call('EXISTS', READY, QUARANTINE) > 0 then redis.call('PUBLISH', channel, '') end
local out = {}
if #taken > 0 then
  token = math.max(now_us, token) + 1
  local envelopes = redis.call('HMGET', JOBS, unpack(taken))
  local crashes = any_crashed and redis.call('HMGET', CRASHES, unpack(taken)) or {}
  local leases = {}
  local token_bytes, expiry = struct.pack('>I8', token), string.format('%d', now + lease_ms)
  for i = 1, #taken do
    local member = token_bytes .. taken[i]
    leases[2 * i - 1], leases[2 * i] = expiry, member
    out[3 * i - 2], out[3 * i - 1], out[3 * i] = member, tonumber(crashes[i] or 0), envelopes[i] or ''
  end
  redis.call('ZADD', LEASES, unpack(leases))
  redis.call('MSET', VTIME, string.format('%.17g', vtime), TOKEN, string.format('%d', token), SEEN, now)
end
if wanted == 0 and members == 0 then return {stale, results, 0, out} end
local leased = redis.call('ZCARD', LEASES)
if #taken == 0 and leased > 0 then redis.call('SET', SEEN, now) end
return {stale, results, redis.call('HLEN', JOBS) - leased, out}
