// Which charts there are, and what each line of them is.

import { duration, rate, share, count } from './format'
import { paddingOf, quantileOf, rateOf, type History, type Points, type Slot } from './history'
import type { Peak, Sum } from './rates'
import type { Reading, Time } from './status'

type Bounds = readonly (number | null)[]
export type Values = (number | null)[]

export interface Line {
  label: string
  /** What it is, in a sentence. */
  about: string
  /** Number of the color in style.css. */
  color: number
  dash?: number[]
  value: (slot: Slot | null, bounds: Bounds) => number | null
}

export interface Chart {
  id: string
  title: string
  unit: string
  format: (value: number | null) => string
  lines: Line[]
  /** Whether a server tells of it; one that has had nothing to do does. */
  isTold: (reading: Reading) => boolean
}

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
        about: '90 % of the requests took at most this long',
        color: 2,
        dash: DASH,
        value: percentile('total_time', 0.9),
      },
      {
        label: 'p99',
        about: '99 % of the requests took at most this long',
        color: 4,
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
        about: 'From acceptance until a worker gets the job: 99 % took at most this long',
        color: 4,
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
        about: 'One batch: 99 % took at most this long',
        color: 5,
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
    isTold: ({ gauges }) => 'queue_rows' in gauges,
    lines: [
      {
        label: 'wait',
        about: 'Texts that wait for a worker: the maximum',
        color: 4,
        value: greatest('queueRows'),
      },
      {
        label: 'at workers',
        about: 'Texts at a worker: the maximum',
        color: 1,
        dash: DASH,
        value: greatest('inFlightRows'),
      },
    ],
  },
  {
    id: 'errors',
    title: 'Errors',
    unit: '/s',
    format: rate,
    isTold: ({ counters, http }) => 'num_failed_request' in counters || http !== null,
    lines: [
      {
        label: 'failed',
        about: 'Answered with an error by a worker or the sink, or because they crashed workers',
        color: 4,
        value: perSecond('failed', 'poisoned'),
      },
      {
        label: 'refused',
        about: 'Invalid, too large, or unreadable',
        color: 5,
        dash: DASH,
        value: perSecond('refused', 'garbage'),
      },
      { label: 'busy', about: 'Refused because the queue of the server was full', color: 2, value: perSecond('busy') },
      {
        label: 'expired',
        about: 'Not computed before their deadline',
        color: 6,
        dash: DOTS,
        value: perSecond('expired'),
      },
      {
        label: 'HTTP 4xx',
        about: 'Status 4xx except 429, for requests over HTTP that encode',
        color: 1,
        dash: DASH,
        value: perSecond('httpBad'),
      },
      {
        label: '429',
        about: 'Requests over HTTP that were rejected because too many were waiting',
        color: 3,
        dash: DASH,
        value: perSecond('httpTurnedAway'),
      },
      {
        label: '5xx',
        about: 'Status 5xx, for requests over HTTP that encode',
        color: 4,
        dash: DOTS,
        value: perSecond('httpFailures'),
      },
    ],
  },
  {
    id: 'padding',
    title: 'Padding',
    unit: '',
    format: share,
    isTold: ({ counters }) => 'num_computed_tokens' in counters,
    lines: [{ label: 'share', about: 'Share of padding in the computed tokens', color: 2, value: paddingOf }],
  },
  {
    id: 'clients',
    title: 'Clients',
    unit: '',
    format: count,
    isTold: ({ gauges }) => 'num_active_client' in gauges,
    lines: [
      {
        label: 'active',
        about: 'Clients with a request in the last 180 seconds; each connection of the HTTP proxy counts as one',
        color: 1,
        value: greatest('clients'),
      },
    ],
  },
]

/** The values of each line of a chart, at each point. */
export function valuesOf(chart: Chart, points: Points, history: History): Values[] {
  return chart.lines.map((line) => points.slots.map((slot) => line.value(slot, history.bounds)))
}
