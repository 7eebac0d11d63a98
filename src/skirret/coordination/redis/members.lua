-- All members of a set; needs shared.lua before it.
-- KEYS  the set, as in add.lua
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.3f', now()), '+inf')
