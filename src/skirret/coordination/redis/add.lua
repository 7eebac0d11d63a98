-- Add members to a set, each with its own end, and drop those that have ended; needs shared.lua before it.
-- KEYS  the set (ZSET: member -> when it ends, milliseconds since the epoch, +inf for ever)
-- ARGV  milliseconds to live ('' for ever), members
local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.3f', time))
local ends = ARGV[1] == '' and '+inf' or string.format('%.3f', time + tonumber(ARGV[1]))
local new = 0
for i = 2, #ARGV do new = new + redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] == 'inf' then
  redis.call('PERSIST', KEYS[1])
elseif last[2] then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(tonumber(last[2])) + 1))
end
return new
