// The hour before the page was opened, as the proxy has kept it: the table of /status/history as readings, which have the numbers only.

import { readBuckets, type Buckets } from './histogram'
import { isObject, numberOf, numbersOf, textOf } from './json'
import { COUNTERS, GAUGES, TIMES, type Reading, type Time } from './status'

export interface Past {
  /** The oldest first. */
  readings: Reading[]
  /** Two readings that are further apart have a gap between them: the server did not answer. */
  gapMs: number
}

/** The readings in an answer that came `at`, by the clock of this machine; null if it is none of /status/history. */
export function readPast(body: unknown, at: number): Past | null {
  if (!isObject(body) || !isObject(body.statistic) || !Array.isArray(body.time)) return null
  const [now, every] = [numberOf(body.now), numberOf(body.every_s)]
  if (now === null || every === null || every <= 0) return null
  const { statistic, http, durations } = body
  const readings: Reading[] = []
  for (const [place, time] of body.time.entries()) {
    const seconds = numberOf(time)
    if (seconds === null || seconds > now) continue
    const valueOf = (table: unknown, name: string): unknown => columnOf(table, name)[place]
    readings.push({
      at: at - 1000 * (now - seconds), // the clock of the proxy may be another
      state: null,
      release: null,
      protocol: null,
      startedAt: textOf(valueOf(body, 'server_start_time')),
      uptimeS: null,
      model: null,
      workers: null,
      upstreams: [],
      counters: numbersOf(COUNTERS, (name) => valueOf(statistic, name)),
      gauges: numbersOf(GAUGES, (name) => valueOf(statistic, name)),
      times: timesAt(durations, place),
      http: {
        badRequests: numberOf(valueOf(http, 'invalid')) ?? 0,
        turnedAway: numberOf(valueOf(http, 'turned_away')) ?? 0,
        failures: numberOf(valueOf(http, 'failed')) ?? 0,
        working: null,
        waiting: numberOf(valueOf(http, 'waiting')),
      },
      access: null,
      facts: null,
      configuration: [],
    })
  }
  return { readings: readings.sort((one, other) => one.at - other.at), gapMs: 3000 * every }
}

function timesAt(durations: unknown, place: number): Partial<Record<Time, Buckets>> {
  const times: Partial<Record<Time, Buckets>> = {}
  for (const name of TIMES) {
    const table = isObject(durations) ? durations[name] : null
    const [bounds, counts] = [columnOf(table, 'bounds_s'), columnOf(table, 'counts')[place]]
    if (!Array.isArray(counts) || counts.length !== bounds.length) continue
    const buckets = readBuckets(bounds.map((bound, n) => [bound, counts[n]]))
    if (buckets) times[name] = buckets
  }
  return times
}

function columnOf(table: unknown, name: string): unknown[] {
  const column = isObject(table) ? table[name] : null
  return Array.isArray(column) ? column : []
}
