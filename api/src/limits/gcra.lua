-- Charges one request to every limit, or to none of them, by the server's clock: the generic cell rate algorithm.
-- KEYS: one per limit; each holds the arrival time, in microseconds, at which its limit would be full again, and expires then.
-- ARGV: for each limit, the microseconds between requests and how many may come at once.
-- Answers, for each limit: requests left, microseconds until it is full again, microseconds until a request passes (0: it passed).
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local arrivals = {}
local passes = true
for i, key in ipairs(KEYS) do
  local interval, full = tonumber(ARGV[2 * i - 1]), ARGV[2 * i - 1] * ARGV[2 * i]
  local arrival = tonumber(redis.call('GET', key) or now)
  -- Beyond the limit's own reach after it was lowered, or after the clock was set back.
  arrivals[i] = math.min(math.max(arrival, now), now + full)
  passes = passes and arrivals[i] + interval <= now + full
end
local answer = {}
for i, key in ipairs(KEYS) do
  local interval, full = tonumber(ARGV[2 * i - 1]), ARGV[2 * i - 1] * ARGV[2 * i]
  local arrival, wait = arrivals[i], 0
  if passes then
    arrival = arrival + interval
    redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
  else
    wait = math.max(arrival + interval - now - full, 0)
  end
  answer[3 * i - 2] = math.floor((now + full - arrival) / interval)
  answer[3 * i - 1] = arrival - now
  answer[3 * i] = wait
end
return answer
