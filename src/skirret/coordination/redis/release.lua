-- Give a lease up; needs shared.lua before it.
-- KEYS  the lease, the call
-- ARGV  its owner
local earlier = answered()
if earlier then return earlier end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return answer('0') end
redis.call('DEL', KEYS[1])
return answer('1')
