-- ARGV: lease in ms, then members. Returns the members that are lost.
local till, lost = now + tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', LEASES, ARGV[i]) then
    redis.call('ZADD', LEASES, 'XX', till, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
