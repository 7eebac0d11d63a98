-- Remove members from a set; needs shared.lua before it.
-- KEYS  the set, as in add.lua
-- ARGV  members
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.3f', now()))
local gone = 0
for i = 1, #ARGV do gone = gone + redis.call('ZREM', KEYS[1], ARGV[i]) end
return gone
