-- Let members into a set that holds a limited number of them, and renew those who are in; needs shared.lua before it.
-- KEYS  the set, as in add.lua
-- ARGV  the limit, milliseconds to live, members in the order in which they come in
-- Gives the places among the members, from 0, of those that are in now.
local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.3f', time))
local room = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])
local ends = string.format('%.3f', time + tonumber(ARGV[2]))
local inside = {}
for i = 3, #ARGV do
  local is_in = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if is_in or room > 0 then
    if not is_in then room = room - 1 end
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
    inside[#inside + 1] = i - 3
  end
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] == 'inf' then
  redis.call('PERSIST', KEYS[1])
elseif last[2] then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(tonumber(last[2])) + 1))
end
return inside
