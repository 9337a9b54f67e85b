-- Prolongs a lease that its holder still has.
--
-- KEYS  1 the lease: "<epoch> <holder>", expires   2 the epoch, never expires
-- ARGV  1 holder   2 how long (ms)   3 the holder's epoch
-- Gives {"renewed", epoch, holder}
--       {"missing", epoch, ""}            no lease, an older one, or nobody's: this Redis has gone back in time
--       {"lost", epoch, its holder}       a newer epoch has been given out
local lease = redis.call('GET', KEYS[1])
local mine = tonumber(ARGV[3])
if lease == ARGV[3] .. ' ' .. ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { 'renewed', mine, ARGV[1] }
end
local epoch, holder = 0, ''
if lease then
  local found, by = string.match(lease, '^(%d+) (.*)$')
  epoch, holder = tonumber(found or '0'), by or ''
end
local known = math.max(epoch, tonumber(redis.call('GET', KEYS[2]) or '0'))
if known > mine or (epoch == mine and holder ~= ARGV[1] and holder ~= '') then
  return { 'lost', known, holder }
end
return { 'missing', known, '' }
