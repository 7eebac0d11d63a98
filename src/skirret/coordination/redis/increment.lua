-- Add to a counter, whose life begins when it is made; needs shared.lua before it.
-- KEYS  the counter, the call
-- ARGV  what to add, milliseconds to live ('' for ever)
local earlier = answered()
if earlier then return earlier end
local made = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if made and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return answer(redis.call('GET', KEYS[1]))
