-- A queue's messages that wait for their time, the soonest first.
--   KEYS[1]  the queue's due messages
--   ARGV[6]  at most so many
-- Answer: each member and its time in turn.

return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. wall(), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[6])
