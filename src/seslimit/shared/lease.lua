-- `Ledger.lease` of seslimit/_law/ledger.py, for Redis 6 or newer and Valkey; what it decides, and why, is told there.
-- KEYS: the ledger (hash), its log (list), its members and the hungry among them
-- (sorted sets), and why each of them rests (hash). ARGV: the request as JSON, how long it is all kept.
local SECOND, LEASE, BURST, AHEAD, LATE = 1e6, 0.02e6, 0.02e6, 0.1e6, 0.2e6
local ALIVE, HUNGRY, LEADS, SINGLE, FIGURES, ASKING = 3e6, 1e6, 0.3e6, 1e6, 280e6, 12e6
local ENTRIES, ROUNDING = 1000, 1e-9

local request = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * SECOND + tonumber(clock[2])
local function text(number) return string.format('%.17g', number) end
if request.sent > 0 and now - request.sent > LATE then
  return cjson.encode({now = text(now), stale = true})
end

local kept = redis.call('HGETALL', KEYS[1])
local ledger = {leader = '', quota = ''}
for i = 1, #kept, 2 do
  local name = kept[i]
  ledger[name] = (name == 'leader' or name == 'quota') and kept[i + 1] or tonumber(kept[i + 1])
end
local numbers = {'timeline', 'urgent', 'hold', 'seen', 'rate', 'limit', 'estimate', 'cap', 'single', 'epoch', 'term',
                 'leads_until', 'quota_at', 'asking_until'}
for _, name in ipairs(numbers) do ledger[name] = ledger[name] or 0 end
local fresh = ledger.rate == 0
if fresh then
  ledger.timeline, ledger.rate, ledger.limit, ledger.estimate = now, request.rate, request.limit, request.estimate
  ledger.epoch, ledger.term = request.epoch, request.term
end

if now < ledger.seen then -- the clock was set back
  local back = ledger.seen - now
  for _, name in ipairs({'timeline', 'urgent', 'hold', 'leads_until', 'asking_until', 'quota_at'}) do
    ledger[name] = ledger[name] - back
  end
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
end
ledger.seen = now
redis.call('ZADD', KEYS[3], text(now), request.member)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now - ALIVE))
if request.hungry then
  redis.call('ZADD', KEYS[4], text(now), request.member)
elseif request.want > 0 then
  redis.call('ZREM', KEYS[4], request.member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', text(now - HUNGRY))

if request.rests ~= '' then
  redis.call('HSET', KEYS[5], request.member, request.rests)
else
  redis.call('HDEL', KEYS[5], request.member)
end
local rests, names, resting = redis.call('HGETALL', KEYS[5]), {}, {}
for i = 1, #rests, 2 do
  if not redis.call('ZSCORE', KEYS[3], rests[i]) then
    redis.call('HDEL', KEYS[5], rests[i])
  elseif rests[i] ~= request.member then
    names[#names + 1] = rests[i]
    resting[rests[i]] = rests[i + 1]
  end
end
table.sort(names)
for i, name in ipairs(names) do names[i] = resting[name] end

local term = 0
if ledger.leader == request.member or ledger.leads_until <= now then
  if ledger.leader ~= request.member then
    ledger.leader, ledger.term = request.member, ledger.term + 1
  end
  ledger.leads_until = now + LEADS
  term = ledger.term
  if request.term == term then
    if ledger.timeline > now then -- what is given away is recipients, and moves with the pace
      ledger.timeline = now + (ledger.timeline - now) * ledger.rate / request.rate
    end
    ledger.rate, ledger.limit, ledger.estimate = request.rate, request.limit, request.estimate
    ledger.single = request.single and 1 or 0
    if request.epoch == ledger.epoch then
      ledger.hold = request.hold > 0 and now + request.hold or math.min(ledger.hold, now)
    end
  end
end

if request.cap > 0 then ledger.cap = request.cap end
if request.quota ~= '' then ledger.quota, ledger.quota_at, ledger.asking_until = request.quota, now, 0 end

if request.log ~= '' then
  redis.call('RPUSH', KEYS[2], request.log)
  redis.call('LTRIM', KEYS[2], -ENTRIES, -1)
end
local told = ''
if term > 0 then
  told = table.concat(redis.call('LRANGE', KEYS[2], 0, -1), '\n')
  redis.call('DEL', KEYS[2])
end

local slot = SECOND / (request.most > 0 and math.min(ledger.rate, request.most) or ledger.rate)
local busy = math.max(ledger.timeline, ledger.hold + AHEAD) > now - BURST
ledger.timeline = math.max(ledger.timeline, now - BURST) + request.owed * slot
local slots, start = 0, now
if request.want > 0 and ledger.hold > now + AHEAD then
  start = now + AHEAD
elseif request.want > 0 then
  local span = math.min(math.max(LEASE, request.span), LATE)
  slots = ledger.single == 1 and 1 or math.max(1, math.min(request.want, math.ceil(span / slot - ROUNDING)))
  start = math.max(ledger.timeline, ledger.hold)
  local next_up = start
  if request.urgent and ledger.timeline < now + math.max(AHEAD, 2 * slot) then
    start = math.max(now, ledger.hold, math.min(ledger.timeline, ledger.urgent))
    ledger.urgent = start + slots * slot
  end
  ledger.timeline = next_up + slots * slot
  if ledger.single == 1 then ledger.epoch, ledger.hold = ledger.epoch + 1, now + SINGLE end
end

local ask_in = -1
if request.asks then
  local known_until = ledger.quota ~= '' and ledger.quota_at + FIGURES or 0
  if known_until > now then
    ask_in = (known_until - now) / SECOND
  elseif ledger.asking_until > now then
    ask_in = 1
  else
    ledger.asking_until, ask_in = now + ASKING, 0
  end
end

local fields = {'leader', ledger.leader, 'quota', ledger.quota}
for _, name in ipairs(numbers) do
  fields[#fields + 1] = name
  fields[#fields + 1] = text(ledger[name])
end
redis.call('HSET', KEYS[1], unpack(fields))
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end

local answer = {
  now = text(now), fresh = fresh, slots = slots, lead = start - now, slot = slot, busy = busy, rate = ledger.rate,
  limit = ledger.limit, estimate = ledger.estimate, cap = ledger.cap, epoch = ledger.epoch, term = term,
  alive = redis.call('ZCARD', KEYS[3]), hungry = redis.call('ZCARD', KEYS[4]), log = told, quota_at = text(ledger.quota_at), ask_in = ask_in,
  rests = table.concat(names, '\n'),
}
if ledger.quota_at > request.quota_at then answer.quota = ledger.quota end
return cjson.encode(answer)
