-- Take from a bucket that fills with time, by the server's clock; needs shared.lua before it.
-- KEYS  the bucket (HASH: tokens, at), the call
-- ARGV  tokens a second, capacity, how many to take
-- Gives seconds to wait as text: '0' they were taken, 'inf' they can never be taken.
local earlier = answered()
if earlier then return earlier end
local rate, capacity, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = now()
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1] or '') or capacity, tonumber(kept[2] or '') or time
tokens = math.min(capacity, tokens + rate * math.max(0, time - at) / 1000)
local wait = '0'
if tokens >= count then
  tokens = tokens - count
elseif count > capacity or rate <= 0 then
  wait = 'inf'
else
  wait = string.format('%.17g', (count - tokens) / rate)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', time))
if rate > 0 then
  -- A full bucket needs not be remembered.
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(1e15, math.ceil((capacity - tokens) / rate * 1000) + 1000)))
else
  redis.call('PERSIST', KEYS[1])
end
return answer(wait)
