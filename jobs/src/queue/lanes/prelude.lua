-- Shared by every script of a lane. KEYS[1] is the lane's base key; all other keys are derived from it and share
-- its hash tag.
--
--   :jobs       hash   id -> envelope                     every job the lane holds
--   :queue:T    zset   id -> priority * 1e12 + sequence   a tenant's waiting jobs
--   :ready      zset   tenant -> virtual start            tenants that may be served next
--   :finish     zset   tenant -> virtual finish           where a tenant that left :ready goes on
--   :vtime      string                                    virtual start of the last job served
--   :shares     hash   tenant -> weight:cap
--   :flight     hash   tenant -> jobs in flight
--   :leases     zset   token|score|tenant|id -> expiry, ms
--   :crashes    hash   id -> leases that expired
--   :quarantine list   score|tenant|id
--   :token, :seq       counters
--   :epoch      string                                    the server run since which it holds what the ledger says
local base = KEYS[1]
local JOBS, READY, FINISH, VTIME = base .. ':jobs', base .. ':ready', base .. ':finish', base .. ':vtime'
local SHARES, FLIGHT, LEASES = base .. ':shares', base .. ':flight', base .. ':leases'
local CRASHES, QUARANTINE = base .. ':crashes', base .. ':quarantine'

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)

local function queue_of(tenant)
  return base .. ':queue:' .. tenant
end

local function parse_share(share)
  local weight, cap = string.match(share or '1:1', '^(%d+):(%d+)$')
  return tonumber(weight), tonumber(cap)
end

-- Lets a tenant take part in claims again, unless it does or is at its cap. Returns whether it does from now on.
local function activate(tenant)
  if redis.call('ZSCORE', READY, tenant) then return false end
  local _, cap = parse_share(redis.call('HGET', SHARES, tenant))
  if tonumber(redis.call('HGET', FLIGHT, tenant) or '0') >= cap then return false end
  local start = tonumber(redis.call('GET', VTIME) or '0')
  local finish = tonumber(redis.call('ZSCORE', FINISH, tenant) or '0')
  redis.call('ZREM', FINISH, tenant)
  redis.call('ZADD', READY, math.max(start, finish), tenant)
  return true
end

-- Ends leases of a tenant; returns how many it has left.
local function land(tenant, jobs)
  local left = redis.call('HINCRBY', FLIGHT, tenant, -jobs)
  if left <= 0 then redis.call('HDEL', FLIGHT, tenant) end
  return math.max(left, 0)
end

local function parse_member(member)
  return string.match(member, '^(%d+)|(%d+)|([^|]*)|(.+)$')
end

