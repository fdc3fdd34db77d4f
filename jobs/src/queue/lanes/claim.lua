-- ARGV: n, lease in ms, most leases to reap, whether a quarantined job may be taken.
-- Returns per job: {member, token, crashes, envelope}.
local n, lease_ms, reap, quarantined = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

-- Expired leases: a first crash puts the job back where it was, from the second on it goes to quarantine, where
-- it meets no neighbour.
for _, member in ipairs(redis.call('ZRANGE', LEASES, '-inf', now, 'BYSCORE', 'LIMIT', 0, reap)) do
  local _, score, tenant, id = parse_member(member)
  redis.call('ZREM', LEASES, member)
  land(tenant, 1)
  if redis.call('HINCRBY', CRASHES, id, 1) >= 2 then
    redis.call('RPUSH', QUARANTINE, score .. '|' .. tenant .. '|' .. id)
  else
    redis.call('ZADD', queue_of(tenant), score, id)
  end
  activate(tenant)
end

-- What is taken, in order: {tenant, id, score}.
local taken = {}

if quarantined then
  local entry = redis.call('LPOP', QUARANTINE)
  if entry then
    local score, tenant, id = string.match(entry, '^(%d+)|([^|]*)|(.+)$')
    redis.call('HINCRBY', FLIGHT, tenant, 1)
    taken[1] = {tenant, id, score}
  end
end

-- Restores the heap (smallest start on top) after its top got a later start.
local function sift_down(heap)
  local at, size = 1, #heap
  while true do
    local smallest = at
    for child = 2 * at, 2 * at + 1 do
      if child <= size and heap[child].start < heap[smallest].start then smallest = child end
    end
    if smallest == at then return end
    heap[at], heap[smallest] = heap[smallest], heap[at]
    at = smallest
  end
end

-- Serves up to `want` jobs by start-time fair queueing. Only the first `want` tenants can be served: while one of
-- them is not served yet, it goes before every later one. So their numbers are read once, the order is found here,
-- and each tenant's jobs are taken together. Returns false when there was no tenant to serve.
local function serve(want)
  local ready = redis.call('ZRANGE', READY, 0, want - 1, 'WITHSCORES')
  if #ready == 0 then return false end
  local names = {}
  for i = 1, #ready, 2 do names[#names + 1] = ready[i] end
  local shares = redis.call('HMGET', SHARES, unpack(names))
  local flights = redis.call('HMGET', FLIGHT, unpack(names))
  local heap, tenants = {}, {}
  for i, name in ipairs(names) do
    local weight, cap = parse_share(shares[i])
    local room = math.min(redis.call('ZCARD', queue_of(name)), cap - tonumber(flights[i] or '0'))
    local tenant = {name = name, start = tonumber(ready[2 * i]), step = 1 / weight, room = room, take = 0}
    tenants[i] = tenant
    heap[i] = tenant
  end
  local order, vtime = {}, nil
  while want > 0 and #heap > 0 do
    local top = heap[1]
    if top.take >= top.room then
      heap[1] = heap[#heap]
      heap[#heap] = nil
    else
      top.take = top.take + 1
      vtime = top.start
      top.start = top.start + top.step
      order[#order + 1] = top
      want = want - 1
    end
    sift_down(heap)
  end
  local stay, leave, finish = {}, {}, {}
  for _, tenant in ipairs(tenants) do
    if tenant.take > 0 then
      tenant.popped = redis.call('ZPOPMIN', queue_of(tenant.name), tenant.take)
      tenant.next = 1
      redis.call('HINCRBY', FLIGHT, tenant.name, tenant.take)
    end
    -- A tenant with nothing more to serve, or at its cap, leaves.
    if tenant.take < tenant.room then
      stay[#stay + 1] = tenant.start
      stay[#stay + 1] = tenant.name
    else
      leave[#leave + 1] = tenant.name
      finish[#finish + 1] = tenant.start
      finish[#finish + 1] = tenant.name
    end
  end
  if #stay > 0 then redis.call('ZADD', READY, unpack(stay)) end
  if #leave > 0 then
    redis.call('ZREM', READY, unpack(leave))
    redis.call('ZADD', FINISH, unpack(finish))
  end
  for _, tenant in ipairs(order) do
    local at = tenant.next
    tenant.next = at + 2
    taken[#taken + 1] = {tenant.name, tenant.popped[at], string.format('%.0f', tonumber(tenant.popped[at + 1]))}
  end
  if vtime then
    redis.call('SET', VTIME, vtime)
    -- A tenant whose finish has passed starts at the present like any other.
    local passed = redis.call('ZRANGE', FINISH, '-inf', vtime, 'BYSCORE', 'LIMIT', 0, 100)
    if #passed > 0 then redis.call('ZREM', FINISH, unpack(passed)) end
  end
  return true
end

-- Tenants that had nothing to serve have left after a round, so the rounds are bounded.
for _ = 1, 4 do
  local before = #taken
  if before >= n or not serve(n - before) then break end
  if #taken > before then break end
end
if #taken == 0 then return {} end

local ids = {}
for i, job in ipairs(taken) do ids[i] = job[2] end
local envelopes = redis.call('HMGET', JOBS, unpack(ids))
local crashes = redis.call('EXISTS', CRASHES) == 1 and redis.call('HMGET', CRASHES, unpack(ids)) or {}
local token = math.max(now_us, tonumber(redis.call('GET', base .. ':token') or '0'))
local out, leases = {}, {}
for i, job in ipairs(taken) do
  local tenant, id, score = job[1], job[2], job[3]
  if envelopes[i] then
    token = token + 1
    local text = string.format('%.0f', token)
    local member = text .. '|' .. score .. '|' .. tenant .. '|' .. id
    leases[#leases + 1] = now + lease_ms
    leases[#leases + 1] = member
    out[#out + 1] = {member, text, tonumber(crashes[i] or '0'), envelopes[i]}
  else
    land(tenant, 1)
  end
end
if #leases > 0 then redis.call('ZADD', LEASES, unpack(leases)) end
redis.call('SET', base .. ':token', string.format('%.0f', token))
return out
