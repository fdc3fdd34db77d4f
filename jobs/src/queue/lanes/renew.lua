-- ARGV: lease in ms, then members. Returns the members that are lost.
local till, lost, held = string.format('%d', now + tonumber(ARGV[1])), {}, {}
for i, score in ipairs(redis.call('ZMSCORE', LEASES, unpack(ARGV, 2))) do
  if score then
    held[#held + 1] = till
    held[#held + 1] = ARGV[i + 1]
  else
    lost[#lost + 1] = ARGV[i + 1]
  end
end
if #held > 0 then redis.call('ZADD', LEASES, 'XX', unpack(held)) end
redis.call('SET', SEEN, now)
return lost
