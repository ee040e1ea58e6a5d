// Rates are made of counters: what came between two readings, and in how much time.

import { difference, type Sparse } from './histogram'
import { COUNTERS, TIMES, type Reading, type Time } from './status'

/** The counts of a change, in the order in which they are kept. */
export const SUMS = [
  'requests',
  'published',
  'rowsReceived',
  'rows',
  'rowsCached',
  'tokens',
  'computedTokens',
  'failed',
  'refused',
  'busy',
  'expired',
  'poisoned',
  'cancelled',
  'gone',
  'garbage',
  'httpBad',
  'httpTurnedAway',
  'httpFailures',
] as const

/** Numbers of a moment, of which a slot keeps the greatest. */
export const PEAKS = ['queueRows', 'inFlightRows', 'clients', 'httpWaiting'] as const

export type Sum = (typeof SUMS)[number]
export type Peak = (typeof PEAKS)[number]

/** The difference of two readings; null stands for an unknown number. */
export interface Change {
  from: number
  to: number
  sums: Record<Sum, number | null>
  peaks: Record<Peak, number | null>
  times: Record<Time, Sparse | null>
}

/** After a longer pause (this machine slept, say) nobody knows when things were done: that is a gap. */
export const MAX_PAUSE_MS = 120_000

/** Whether another server answers than before: counters begin again with it. */
export function wasStartedAgain(older: Reading, newer: Reading): boolean {
  if (older.startedAt !== null && newer.startedAt !== null) return older.startedAt !== newer.startedAt
  return COUNTERS.some((name) => (newer.counters[name] ?? 0) < (older.counters[name] ?? 0))
}

/**
 * The change between two readings; null if that cannot be told: the server was started again, a counter went down,
 * the pause was too long, or the clock of this machine was set back.
 */
export function changeBetween(older: Reading, newer: Reading): Change | null {
  const pause = newer.at - older.at
  if (pause <= 0 || pause > MAX_PAUSE_MS || wasStartedAgain(older, newer)) return null
  const [before, after] = [older.counters, newer.counters]
  if (COUNTERS.some((name) => (after[name] ?? 0) < (before[name] ?? 0))) return null

  const counted = (name: (typeof COUNTERS)[number]): number | null => minus(after[name], before[name])
  const http = httpChange(older, newer)
  return {
    from: older.at,
    to: newer.at,
    sums: {
      requests: counted('num_data_request'),
      published: counted('num_published_request'),
      rowsReceived: counted('num_total_seq'),
      rows: counted('num_rows_done'),
      rowsCached: counted('num_cached_row'),
      tokens: counted('num_tokens_done'),
      computedTokens: counted('num_computed_tokens'),
      failed: counted('num_failed_request'),
      refused: counted('num_refused_request'),
      busy: counted('num_busy_request'),
      expired: counted('num_expired_request'),
      poisoned: counted('num_poisoned_request'),
      cancelled: counted('num_cancelled_request'),
      gone: counted('num_gone_request'),
      garbage: counted('num_garbage_message'),
      ...http,
    },
    peaks: {
      queueRows: newer.gauges.queue_rows ?? null,
      inFlightRows: newer.gauges.in_flight_rows ?? null,
      clients: newer.gauges.num_active_client ?? null,
      httpWaiting: newer.http?.waiting ?? null,
    },
    times: Object.fromEntries(
      TIMES.map((name) => {
        const [was, is] = [older.times[name], newer.times[name]]
        return [name, was && is ? difference(was, is) : null]
      }),
    ) as Record<Time, Sparse | null>,
  }
}

/** The proxy may be started again while the server goes on; then its counts are not known this once. */
function httpChange(
  older: Reading,
  newer: Reading,
): Record<'httpBad' | 'httpTurnedAway' | 'httpFailures', number | null> {
  const [was, is] = [older.http, newer.http]
  const change = {
    httpBad: minus(is?.badRequests, was?.badRequests),
    httpTurnedAway: minus(is?.turnedAway, was?.turnedAway),
    httpFailures: minus(is?.failures, was?.failures),
  }
  const wasReset = Object.values(change).some((count) => count !== null && count < 0)
  return wasReset ? { httpBad: null, httpTurnedAway: null, httpFailures: null } : change
}

function minus(after: number | undefined, before: number | undefined): number | null {
  return after === undefined || before === undefined ? null : after - before
}
