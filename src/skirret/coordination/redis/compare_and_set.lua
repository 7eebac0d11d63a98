-- Replace a value if it is the expected one; needs shared.lua before it.
-- KEYS  the value, the call
-- ARGV  '1' or '0' whether one is expected, the expected one, '1' or '0' whether there is a new one, the new one,
--       milliseconds to live ('' for ever)
local earlier = answered()
if earlier then return earlier end
local old = redis.call('GET', KEYS[1])
if ARGV[1] == '1' then
  if old ~= ARGV[2] then return answer('0') end
elseif old then
  return answer('0')
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
elseif ARGV[5] == '' then
  redis.call('SET', KEYS[1], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
return answer('1')
