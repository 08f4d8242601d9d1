-- What wrk sends and prints: wrk ... -s load.lua URL -- POST_BYTES STOP_AFTER (0: a GET; 0: as long as -d says).
-- Prints one line of JSON at the end, times in microseconds. One thread (-t1) only: the count is a thread's own.

function init(args)
  local post_bytes, stop_after = tonumber(args[1]), tonumber(args[2])
  if post_bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", post_bytes)
  end
  if stop_after > 0 then
    local answered = 0
    -- Set here only: with a global `response` wrk hands every head and body to Lua, which takes it longer.
    response = function()
      answered = answered + 1
      if answered == stop_after then
        wrk.thread:stop()
        -- wrk itself sleeps until -d is over, or SIGINT. Not os.execute, which has SIGINT ignored meanwhile.
        io.popen("kill -INT $PPID"):close()
      end
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d, "late": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
