-- What wrk sends and prints: wrk ... -s load.lua URL -- POST_BYTES (0: a GET).
-- Prints one line of JSON at the end, times in microseconds.

function init(args)
  local post_bytes = tonumber(args[1])
  if post_bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", post_bytes)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d, "late": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
