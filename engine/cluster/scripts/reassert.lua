-- Sets a lease again that this Redis has forgotten; only for whom the store still knows as the owner.
--
-- KEYS  1 the lease: "<epoch> <holder>", expires   2 the epoch, never expires
-- ARGV  1 holder   2 how long (ms)   3 the holder's epoch
-- Gives {"renewed", epoch, holder}
--       {"lost", epoch, its holder}       a newer epoch has been given out meanwhile
local lease = redis.call('GET', KEYS[1])
local mine = tonumber(ARGV[3])
local epoch, holder = 0, ''
if lease then
  local found, by = string.match(lease, '^(%d+) (.*)$')
  epoch, holder = tonumber(found or '0'), by or ''
end
local known = math.max(epoch, tonumber(redis.call('GET', KEYS[2]) or '0'))
if known > mine or (epoch == mine and holder ~= ARGV[1] and holder ~= '') then
  return { 'lost', known, holder }
end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[2])
return { 'renewed', mine, ARGV[1] }
