-- What a reaper looks at.
--   KEYS[1]  consumers
--   ARGV[6]  the reaper's incarnation
-- Answer: {1 if the reaper lives, incarnations and their beats in turn, incarnations that were fenced and hold work,
-- incarnations and their processes in turn}.

local lives = redis.call('HEXISTS', KEYS[1], ARGV[6])
return {lives, redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', BASE .. 'fenced'),
  redis.call('HGETALL', BASE .. 'processes')}
