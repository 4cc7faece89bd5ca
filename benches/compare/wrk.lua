-- A POST where POST_BYTES is set, and at the end one line of JSON.
local bytes = tonumber(os.getenv("POST_BYTES") or "0")
if bytes > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("y", bytes)
end

function done(summary, latency, _)
  local failed = summary.errors
  print(string.format(
    'JSON {"requests": %d, "seconds": %f, "p50_us": %d, "p99_us": %d, "errors": %d, "bytes": %.0f}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    failed.connect + failed.read + failed.write + failed.status + failed.timeout, summary.bytes))
end
