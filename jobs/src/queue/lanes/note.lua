-- ARGV: the note that was read, the next one. Returns 1 when it took the other's place, 0 when the lane was wiped, or noted
-- by somebody else, meanwhile.
local noted = base .. ':epoch'
if (redis.call('GET', noted) or '') ~= ARGV[1] then return 0 end
redis.call('SET', noted, ARGV[2])
return 1
