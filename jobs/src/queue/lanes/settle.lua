-- ARGV: wake channel, how many of the members are finished (they come first; the others are released), members.
-- Returns how many leases were lost before.
local finishes = tonumber(ARGV[2])
local any_crashed = redis.call('EXISTS', CRASHES) == 1
local vtime = tonumber(redis.call('GET', VTIME) or '0')

local stale, wake = 0, false
local finished, landed, names, entries = {}, {}, {}, {}
for i = 3, #ARGV do
  local member = ARGV[i]
  if redis.call('ZREM', LEASES, member) == 0 then
    stale = stale + 1
  else
    local job = string.sub(member, 17)
    if i - 2 <= finishes then
      finished[#finished + 1] = job
      local name = string.sub(member, 49)
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
  end
end
if #finished > 0 then
  redis.call('HDEL', JOBS, unpack(finished))
  if any_crashed then redis.call('HDEL', CRASHES, unpack(finished)) end
end

-- An empty lane keeps nothing of the tenants it served.
if redis.call('EXISTS', JOBS) == 0 then
  redis.call('DEL', READY, VTIME, TENANTS, CRASHES, QUARANTINE, SEEN, HOLD)
  return stale
end

-- One more record is looked at each time, so that tenants that stay away are forgotten sooner or later.
local other = redis.call('HRANDFIELD', TENANTS)
if other and not landed[other] then
  names[#names + 1] = other
  landed[other] = 0
end
load_tenants(names)
for name, jobs in pairs(landed) do
  local tenant = touched[name]
  tenant.active = math.max(tenant.active - jobs, 0)
  -- What waited for one of its tenant's jobs to finish is ready now: a few at a time, which spares most of the look-ups.
  local room, step = tenant.cap - tenant.active, math.min(math.ceil(tenant.cap / 8), 8)
  if tenant.waiting > 0 and room >= step then
    local urgent
    -- After a cap was raised, no more than twice what finished, so that the work stays in proportion.
    local queue, last = queue_of(name), math.min(room, math.max(2 * jobs, step)) - 1
    local next = redis.call('ZRANGE', queue, 0, last)
    for i = 1, #next do
      -- Urgent ones come first: after a usual one, all are.
      local priority = USUAL_PRIORITY
      if i == 1 or urgent then priority = math.floor(tonumber(redis.call('ZSCORE', queue, next[i])) / 1e12) end
      urgent = priority < USUAL_PRIORITY
      make_ready(tenant, next[i], priority, vtime, entries)
    end
    redis.call('ZREMRANGEBYRANK', queue, 0, last)
    tenant.waiting = #next > 0 and tenant.waiting - #next or 0
  end
end
if add_ready(entries) then wake = true end
save_tenants(vtime)
if wake then redis.call('PUBLISH', ARGV[1], '') end
return stale
