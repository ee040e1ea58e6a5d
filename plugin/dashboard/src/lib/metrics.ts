// The numbers that only /metrics has: how the HTTP proxy has answered, and how many requests wait there.

import { labelOf } from './access'

/** Since the start of the proxy, of the routes that encode; and at this moment. */
export interface HttpCounts {
  /** Answers of 4xx but 429. */
  badRequests: number
  /** 429: too many were waiting. */
  turnedAway: number
  /** Answers of 5xx. */
  failures: number
  working: number | null
  waiting: number | null
}

const REQUEST = /^bert_http_requests_total\{([^}]*)\} (\S+)$/
const GAUGE = /^bert_http_requests_(working|waiting) (\S+)$/
const ROUTES = new Set([
  ...['/encode', '/tokenize', '/decode', '/v1/embeddings', '/embed', '/', '/embed_all', '/similarity'],
  ...['/predict', '/rerank', '/v1/rerank', '/v2/rerank'],
])

/** The counts in a page in the text format of Prometheus; null if it has none. */
export function readMetrics(page: string): HttpCounts | null {
  const counts: HttpCounts = { badRequests: 0, turnedAway: 0, failures: 0, working: null, waiting: null }
  let isThere = false
  for (const line of page.split('\n')) {
    const gauge = GAUGE.exec(line)
    if (gauge) counts[gauge[1] as 'working' | 'waiting'] = Number(gauge[2])
    const request = REQUEST.exec(line)
    if (!request) continue
    isThere = true
    const status = Number(labelOf(request[1]!, 'status'))
    if (!ROUTES.has(labelOf(request[1]!, 'route'))) continue // this page itself asks the others
    const count = Number(request[2])
    if (status === 429) counts.turnedAway += count
    else if (status >= 500) counts.failures += count
    else if (status >= 400) counts.badRequests += count
  }
  return isThere ? counts : null
}
