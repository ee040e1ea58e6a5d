// Which charts there are, and what each line of them is.

import { counts, durations, numbers, shares, type Axis } from './axis'
import { errorRate } from './errors'
import { duration, rate, share, count } from './format'
import { paddingOf, quantileOf, rateOf, type History, type Points, type Slot } from './history'
import type { Peak, Sum } from './rates'
import type { Gauge, Reading, Time } from './status'

type Bounds = readonly (number | null)[]
export type Values = (number | null)[]

export interface Line {
  label: string
  /** Its meaning, in a sentence. */
  about: string
  /** Number of the color in style.css. */
  color: number
  dash?: number[]
  value: (slot: Slot | null, bounds: Bounds) => number | null
  /** Of what there is at a moment: its latest value. */
  now?: Gauge
}

export interface Chart {
  id: string
  title: string
  unit: string
  format: (value: number | null) => string
  axis: Axis
  /** The latest values are of so many seconds, as in the cards at the top; 0: of now. */
  recentS: number
  lines: Line[]
  /** Whether a server tells of it; one that has had nothing to do does. */
  isTold: (reading: Reading) => boolean
}

/** Rates are of some seconds, or they would jump: workers count their tokens once a second. */
export const RATE_S = 15
/** Percentiles and shares need more than a few values. */
export const SHARE_S = 60

const DASH = [6, 3]
const DOTS = [2, 3]

const perSecond =
  (...names: Sum[]) =>
  (slot: Slot | null) =>
    rateOf(slot, ...names)
const greatest = (name: Peak) => (slot: Slot | null) => slot?.peaks[name] ?? null
const percentile = (name: Time, part: number) => (slot: Slot | null, bounds: Bounds) =>
  quantileOf(slot, name, part, bounds)

export const CHARTS: Chart[] = [
  {
    id: 'requests',
    title: 'Requests',
    unit: '/s',
    format: rate,
    axis: numbers,
    recentS: RATE_S,
    isTold: ({ counters }) => 'num_data_request' in counters,
    lines: [
      { label: 'received', about: 'Requests to encode that were received', color: 1, value: perSecond('requests') },
      {
        label: 'answered',
        about: 'Requests answered with vectors',
        color: 3,
        dash: DASH,
        value: perSecond('published'),
      },
    ],
  },
  {
    id: 'rows',
    title: 'Rows',
    unit: '/s',
    format: rate,
    axis: numbers,
    recentS: RATE_S,
    isTold: ({ counters }) => 'num_rows_done' in counters || 'num_total_seq' in counters,
    lines: [
      { label: 'received', about: 'Texts received', color: 1, value: perSecond('rowsReceived') },
      { label: 'answered', about: 'Texts answered with vectors', color: 3, dash: DASH, value: perSecond('rows') },
      {
        label: 'from the cache',
        about: 'Texts answered from the caches of the workers (-cache_rows), without computing them',
        color: 2,
        dash: DOTS,
        value: perSecond('rowsCached'),
      },
    ],
  },
  {
    id: 'tokens',
    title: 'Tokens',
    unit: '/s',
    format: rate,
    axis: numbers,
    recentS: RATE_S,
    isTold: ({ counters }) => 'num_tokens_done' in counters,
    lines: [
      { label: 'of texts', about: 'Tokens computed, without padding', color: 1, value: perSecond('tokens') },
      {
        label: 'with padding',
        about: 'Tokens computed, padding included',
        color: 2,
        dash: DASH,
        value: perSecond('computedTokens'),
      },
    ],
  },
  {
    id: 'latency',
    title: 'Latency',
    unit: '',
    format: duration,
    axis: durations,
    recentS: SHARE_S,
    isTold: ({ times }) => 'total_time' in times,
    lines: [
      {
        label: 'p50',
        about: 'Half of the requests took at most this long, from acceptance to reply',
        color: 1,
        value: percentile('total_time', 0.5),
      },
      {
        label: 'p90',
        about: '90% of the requests took at most this long',
        color: 3,
        dash: DASH,
        value: percentile('total_time', 0.9),
      },
      {
        label: 'p99',
        about: '99% of the requests took at most this long',
        color: 5,
        dash: DOTS,
        value: percentile('total_time', 0.99),
      },
    ],
  },
  {
    id: 'stages',
    title: 'Waiting and computing',
    unit: '',
    format: duration,
    axis: durations,
    recentS: SHARE_S,
    isTold: ({ times }) => 'queue_time' in times || 'compute_time' in times,
    lines: [
      {
        label: 'queue p50',
        about: 'From acceptance until a worker gets the job: half took at most this long',
        color: 1,
        value: percentile('queue_time', 0.5),
      },
      {
        label: 'queue p99',
        about: 'From acceptance until a worker gets the job: 99% took at most this long',
        color: 5,
        dash: DOTS,
        value: percentile('queue_time', 0.99),
      },
      {
        label: 'batch p50',
        about: 'One batch: half took at most this long',
        color: 3,
        value: percentile('compute_time', 0.5),
      },
      {
        label: 'batch p99',
        about: 'One batch: 99% took at most this long',
        color: 2,
        dash: DOTS,
        value: percentile('compute_time', 0.99),
      },
    ],
  },
  {
    id: 'queue',
    title: 'Queue',
    unit: 'rows',
    format: count,
    axis: counts,
    recentS: 0,
    isTold: ({ gauges }) => 'queue_rows' in gauges,
    lines: [
      {
        label: 'waiting',
        about: 'Texts that wait for a worker; each point is the greatest number of its time',
        color: 4,
        value: greatest('queueRows'),
        now: 'queue_rows',
      },
      {
        label: 'at workers',
        about: 'Texts at a worker; each point is the greatest number of its time',
        color: 1,
        dash: DASH,
        value: greatest('inFlightRows'),
        now: 'in_flight_rows',
      },
    ],
  },
  {
    id: 'errors',
    title: 'Errors',
    unit: '/s',
    format: rate,
    axis: numbers,
    recentS: RATE_S,
    isTold: ({ counters, http }) => 'num_failed_request' in counters || http !== null,
    lines: [
      {
        label: 'failed',
        about: 'Requests that the server could not answer: an error of a worker or the sink, or HTTP status 5xx',
        color: 4,
        value: (slot) => errorRate(slot, 'failed'),
      },
      {
        label: 'overload',
        about: 'Requests that were turned away or expired because too many were waiting, HTTP status 429 among them',
        color: 2,
        dash: DOTS,
        value: (slot) => errorRate(slot, 'overload'),
      },
      {
        label: 'invalid',
        about: 'Mistakes of callers: invalid or too large requests, wrong keys, any HTTP status 4xx except 429',
        color: 1,
        dash: DASH,
        value: (slot) => errorRate(slot, 'invalid'),
      },
    ],
  },
  {
    id: 'padding',
    title: 'Padding',
    unit: '',
    format: share,
    axis: shares,
    recentS: SHARE_S,
    isTold: ({ counters }) => 'num_computed_tokens' in counters,
    lines: [{ label: 'padding', about: 'Share of padding in the computed tokens', color: 2, value: paddingOf }],
  },
  {
    id: 'clients',
    title: 'Clients',
    unit: '',
    format: count,
    axis: counts,
    recentS: 0,
    isTold: ({ gauges }) => 'num_active_client' in gauges,
    lines: [
      {
        label: 'active',
        about: 'Clients with a request in the last 180 seconds; each connection of the HTTP proxy counts as one',
        color: 1,
        value: greatest('clients'),
        now: 'num_active_client',
      },
    ],
  },
]

/** The values of each line of a chart, at each point. */
export function valuesOf(chart: Chart, points: Points, history: History): Values[] {
  return chart.lines.map((line) => points.slots.map((slot) => line.value(slot, history.bounds)))
}

/** The latest value of each line of a chart, at `now`. */
export function latestOf(chart: Chart, history: History, reading: Reading | null, now: number): Values {
  const slot = history.last(chart.recentS, now)
  return chart.lines.map((line) => (line.now ? (reading?.gauges[line.now] ?? null) : line.value(slot, history.bounds)))
}

/** The time that the latest values of a chart are of, in words. */
export function recentOf({ recentS }: Chart): string {
  return recentS === 0 ? 'now' : `last ${recentS} s`
}
