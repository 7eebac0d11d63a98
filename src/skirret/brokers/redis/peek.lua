-- The next messages of a queue, left where they are; those whose time has come are moved to its lists first.
--   KEYS[1]  the queue's due messages
--   ARGV[6]  queue
--   ARGV[7]  at most so many
--   then the priority steps in the order of taking
-- Answer: for each message its step, its count or '', and itself.

local queue, left, answer = ARGV[6], tonumber(ARGV[7]), {}
move_due(queue, wall())
for n = 8, #ARGV do
  if left <= 0 then break end
  local found = redis.call('LRANGE', list_of(queue, ARGV[n]), -left, -1)
  for nth = #found, 1, -1 do
    answer[#answer + 1] = ARGV[n]
    answer[#answer + 1] = redis.call('HGET', BASE .. 'counts:' .. queue, digest(found[nth])) or ''
    answer[#answer + 1] = found[nth]
    left = left - 1
  end
end
return answer
