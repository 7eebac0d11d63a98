-- Which members a set has; needs shared.lua before it.
-- KEYS  the set, as in add.lua
-- ARGV  members
-- Gives the places in ARGV, from 0, of those that it has.
local found = {}
if redis.call('EXISTS', KEYS[1]) == 0 then return found end
local time = now()
for i = 1, #ARGV do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ends and (ends == 'inf' or tonumber(ends) > time) then found[#found + 1] = i - 1 end
end
return found
