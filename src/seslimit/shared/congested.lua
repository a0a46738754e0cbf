-- `Ledger.congested` of seslimit/_law/ledger.py. KEYS: the ledger (hash), its log (list). ARGV: the epoch under which
-- the throttled message went, what is to be logged.
if ARGV[2] ~= '' then
  redis.call('RPUSH', KEYS[2], ARGV[2])
  redis.call('LTRIM', KEYS[2], -1000, -1)
end
local kept = redis.call('HMGET', KEYS[1], 'rate', 'epoch', 'hold')
local rate, epoch, hold = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
if rate > 0 and tonumber(ARGV[1]) == epoch then
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1e6 + tonumber(clock[2])
  epoch, hold = epoch + 1, math.max(hold, now + math.min(3e6 / rate, 0.1e6))
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch), 'hold', string.format('%.17g', hold))
end
return epoch
