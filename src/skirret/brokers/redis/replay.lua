-- Put dead letters of a queue to its end, with fresh counters.
--   KEYS[1]  the queue's dead letters
--   ARGV[6]  queue
--   then the letters' ids
-- Answer: how many.

local count = 0
for n = 7, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[n], ARGV[n])[1]
  if found then
    local letter = {}
    for k = 1, #found[2], 2 do letter[found[2][k]] = found[2][k + 1] end
    append(ARGV[6], letter.step, letter.message)
    redis.call('XDEL', KEYS[1], ARGV[n])
    count = count + 1
  end
end
wake(ARGV[6], count)
return count
