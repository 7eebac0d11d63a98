-- Functions that the scripts of coordination share.

-- What an earlier try of this very call answered, whose answer was lost on the way; nil the first time.
--   KEYS[2] is the call's own key
local function answered()
  local answer = redis.call('GET', KEYS[2])
  return answer or nil
end

-- Answer, and keep the answer for as long as somebody may try again.
local function answer(text)
  redis.call('SET', KEYS[2], text, 'PX', 10000)
  return text
end

-- The server's clock, in milliseconds.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end
