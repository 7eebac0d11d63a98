-- How many messages of a queue are ready, after those whose time has come were moved to its lists.
--   KEYS[1]  a key of the queue's slot
--   ARGV[6]  queue
--   then the priority steps
-- Answer: the number for each step.

move_due(ARGV[6], wall())
local answer = {}
for n = 7, #ARGV do answer[#answer + 1] = redis.call('LLEN', list_of(ARGV[6], ARGV[n])) end
return answer
