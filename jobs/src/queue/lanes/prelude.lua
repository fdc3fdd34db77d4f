-- Shared by every script of a lane. KEYS[1] is the lane's base key; all other keys are derived from it and share
-- its hash tag. A job is named by its id and its tenant, one after the other: 16 bytes each, or `platform`. The member of
-- a lease is a token of 8 bytes, most significant first, and the job.
--
--   :jobs       hash   job -> envelope                     every job the lane holds
--   :ready      zset   job -> virtual start                jobs that a claim may take, in this order
--   :line:T     list   job                                 a tenant's jobs that wait for one of its ready ones to finish
--   :queue:T    zset   job -> priority * 1e12 + sequence   those among them that are not of the usual priority
--   :tenants    hash   tenant -> packed record             see `load_tenants`
--   :leases     zset   token job -> expiry, ms
--   :crashes    hash   job -> leases that expired
--   :quarantine list   job
--   :vtime      string                                     virtual start of the last job claimed
--   :token, :seq       counters
--   :seen, :hold       ms                                  when a worker was last heard; until when no lease is reaped
--   :epoch      string                                     how far it is filled from the ledger, and in which run
--
-- Fairness is start-time fair queueing. A job gets its virtual start when it becomes ready: the lane's virtual time or
-- its tenant's virtual finish, whichever is later; the finish then moves on by 1 / weight. A tenant's ready and running
-- jobs together never exceed its cap, so a claim looks at no tenant at all: it takes the smallest starts. A tenant at its
-- cap gets the next few ready when as many have finished (an eighth of the cap, at most 8).
local base = KEYS[1]
local JOBS, READY, TENANTS, LEASES = base .. ':jobs', base .. ':ready', base .. ':tenants', base .. ':leases'
local CRASHES, QUARANTINE, VTIME = base .. ':crashes', base .. ':quarantine', base .. ':vtime'
local SEEN, HOLD, TOKEN = base .. ':seen', base .. ':hold', base .. ':token'
-- Leases of a job that expired before it may meet no neighbour.
local SUSPECT = 2
-- Priorities below overtake their tenant's ready jobs, those above wait until nothing else of it waits.
local USUAL_PRIORITY = 5

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)

local function line_of(name)
  return base .. ':line:' .. name
end

local function queue_of(name)
  return base .. ':queue:' .. name
end

-- Records of the tenants a script touches, by name.
local touched = {}
local RECORD = '<I4I4I4I4I4dd'
local NEW_RECORD = struct.pack(RECORD, 1, 1, 0, 0, 0, 0, 0)

-- Reads the records of tenants: weight, cap, active (ready, running or in quarantine), waiting (in line or queue), queued
-- (in queue), finish (virtual finish of its last ready job), urgent (the same among its urgent jobs).
local function load_tenants(names)
  if #names == 0 then return end
  local records = redis.call('HMGET', TENANTS, unpack(names))
  for i = 1, #names do
    local weight, cap, active, waiting, queued, finish, urgent = struct.unpack(RECORD, records[i] or NEW_RECORD)
    touched[names[i]] = {weight = weight, cap = cap, active = active, waiting = waiting, queued = queued,
      finish = finish, urgent = urgent}
  end
end

-- Writes the records back; a tenant with no job whose finish has passed starts at the present like any other, and needs none.
local function save_tenants(vtime)
  local kept, gone = {}, {}
  for name, tenant in pairs(touched) do
    if tenant.active == 0 and tenant.waiting == 0 and tenant.finish <= vtime then
      gone[#gone + 1] = name
    else
      kept[#kept + 1] = name
      kept[#kept + 1] = struct.pack(RECORD, tenant.weight, tenant.cap, tenant.active, tenant.waiting, tenant.queued,
        tenant.finish, tenant.urgent)
    end
  end
  if #kept > 0 then redis.call('HSET', TENANTS, unpack(kept)) end
  if #gone > 0 then redis.call('HDEL', TENANTS, unpack(gone)) end
end

-- Makes one of a tenant's jobs ready: appends its virtual start and its name to `entries`. An urgent job overtakes its
-- tenant's usual ones; those that become ready after it pay for that.
local function make_ready(tenant, job, priority, vtime, entries)
  local start = tenant.finish > vtime and tenant.finish or vtime
  tenant.finish = start + 1 / tenant.weight
  if priority < USUAL_PRIORITY then
    start = tenant.urgent > vtime and tenant.urgent or vtime
    tenant.urgent = start + 1 / tenant.weight
    -- Before a usual job with the same start.
    start = start - (USUAL_PRIORITY - priority) * 1e-6
  end
  tenant.active = tenant.active + 1
  local at = #entries
  entries[at + 1], entries[at + 2] = start, job
end

-- Lets one of a tenant's jobs wait for its turn.
local function wait_in_line(name, tenant, job, priority)
  if priority == USUAL_PRIORITY then
    redis.call('RPUSH', line_of(name), job)
  else
    redis.call('ZADD', queue_of(name), priority * 1e12 + redis.call('INCR', base .. ':seq'), job)
    tenant.queued = tenant.queued + 1
  end
  tenant.waiting = tenant.waiting + 1
end

-- Whether a job waits. Looks through the line, which is as long as its tenant's window at most; asked of jobs pushed again.
local function waits_in_line(name, job)
  return redis.call('ZSCORE', queue_of(name), job) or redis.call('LPOS', line_of(name), job)
end

-- Makes a tenant's next jobs ready, at most `n`: urgent ones, usual ones in the order they came, then the rest.
local function make_next_ready(name, tenant, n, vtime, entries)
  local function from_queue(first, last)
    local queue = queue_of(name)
    local found = redis.call('ZRANGE', queue, first, last, 'BYSCORE', 'LIMIT', 0, n, 'WITHSCORES')
    for i = 1, #found, 2 do
      redis.call('ZREM', queue, found[i])
      make_ready(tenant, found[i], math.floor(tonumber(found[i + 1]) / 1e12), vtime, entries)
    end
    n, tenant.waiting, tenant.queued = n - #found / 2, tenant.waiting - #found / 2, tenant.queued - #found / 2
  end
  local usual = USUAL_PRIORITY * 1e12
  if tenant.queued > 0 then from_queue('-inf', '(' .. usual) end
  if n > 0 and tenant.waiting > tenant.queued then
    local next = redis.call('LPOP', line_of(name), n) or {}
    for i = 1, #next do make_ready(tenant, next[i], USUAL_PRIORITY, vtime, entries) end
    n, tenant.waiting = n - #next, #next > 0 and tenant.waiting - #next or tenant.queued
  end
  if n > 0 and tenant.queued > 0 then from_queue(usual, '+inf') end
end

-- Puts jobs into `ready`; returns whether there were none before, in which case workers may be asleep.
local function add_ready(entries)
  if #entries == 0 then return false end
  local slept = redis.call('EXISTS', READY) == 0
  -- `unpack` takes some thousand values at most.
  for first = 1, #entries, 2000 do
    redis.call('ZADD', READY, unpack(entries, first, math.min(first + 1999, #entries)))
  end
  return slept
end
