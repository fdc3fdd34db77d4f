-- ARGV: lane window, tenant window, wake channel, then per job: id tenant weight cap priority envelope.
-- Returns per job: 0 queued (now or before), 1 running, 2 window full.
local lane_window, tenant_window = tonumber(ARGV[1]), tonumber(ARGV[2])
-- Places a tenant has in a full lane, so that others' backlogs cannot shut it out.
local RESERVED = 20
local vtime = tonumber(redis.call('GET', VTIME) or '0')
local depth = redis.call('HLEN', JOBS)

local names = {}
for i = 5, #ARGV, 6 do
  if not touched[ARGV[i]] then
    touched[ARGV[i]] = true
    names[#names + 1] = ARGV[i]
  end
end
load_tenants(names)

local results, entries = {}, {}
for i = 4, #ARGV, 6 do
  local name, priority, envelope = ARGV[i + 1], tonumber(ARGV[i + 4]), ARGV[i + 5]
  local job, tenant = ARGV[i] .. name, touched[name]
  local held = tenant.active + tenant.waiting
  local full = held >= tenant_window or (depth >= lane_window and held >= RESERVED)
  if full and redis.call('HEXISTS', JOBS, job) == 0 then
    results[#results + 1] = 2
  elseif full or redis.call('HSETNX', JOBS, job, envelope) == 0 then
    if redis.call('ZSCORE', READY, job) or waits_in_line(name, job) then
      -- The relay's envelope knows more: the runs that failed meanwhile. A late one of the enqueuer's does not.
      if cjson.decode(envelope).relayed then redis.call('HSET', JOBS, job, envelope) end
      results[#results + 1] = 0
    else
      results[#results + 1] = 1
    end
  else
    tenant.weight, tenant.cap = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    if tenant.waiting == 0 and tenant.active < tenant.cap then
      make_ready(tenant, job, priority, vtime, entries)
    else
      wait_in_line(name, tenant, job, priority)
    end
    depth = depth + 1
    results[#results + 1] = 0
  end
end
local wake = add_ready(entries)
save_tenants(vtime)
if wake then redis.call('PUBLISH', ARGV[3], '') end
return results
