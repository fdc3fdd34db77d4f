-- ARGV: wake channel, how many of the members are finished (they come first; the others are released), members.
-- Returns how many leases were lost before.
local finishes = tonumber(ARGV[2])
local held = redis.call('ZMSCORE', LEASES, unpack(ARGV, 3))
local any_crashed = redis.call('EXISTS', CRASHES) == 1
local vtime = tonumber(redis.call('GET', VTIME) or '0')

local stale, wake = 0, false
local ended, finished, landed, names, entries = {}, {}, {}, {}, {}
for i = 1, #held do
  local member = ARGV[i + 2]
  if not held[i] then
    stale = stale + 1
  else
    ended[#ended + 1] = member
    local job = string.sub(member, 17)
    if i <= finishes then
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
if #ended > 0 then redis.call('ZREM', LEASES, unpack(ended)) end
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
    -- After a cap was raised, no more than twice what finished, so that the work stays in proportion.
    local next = redis.call('ZPOPMIN', queue_of(name), math.min(room, math.max(2 * jobs, step)))
    for i = 1, #next, 2 do
      make_ready(tenant, next[i], math.floor(tonumber(next[i + 1]) / 1e12), vtime, entries)
    end
    tenant.waiting = #next > 0 and tenant.waiting - #next / 2 or 0
  end
end
if add_ready(entries) then wake = true end
save_tenants(vtime)
if wake then redis.call('PUBLISH', ARGV[1], '') end
return stale
