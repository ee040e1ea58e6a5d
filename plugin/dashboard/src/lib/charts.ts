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
  /** Number of the colour in style.css. */
  colour: number
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
      { label: 'received', about: 'Requests to encode that came in', colour: 1, value: perSecond('requests') },
      {
        label: 'answered',
        about: 'Requests answered with vectors',
        colour: 3,
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
      { label: 'received', about: 'Texts that came in', colour: 1, value: perSecond('rowsReceived') },
      { label: 'answered', about: 'Texts answered with vectors', colour: 3, dash: DASH, value: perSecond('rows') },
    ],
  },
  {
    id: 'tokens',
    title: 'Tokens',
    unit: '/s',
    format: rate,
    isTold: ({ counters }) => 'num_tokens_done' in counters,
    lines: [
      { label: 'of texts', about: 'Tokens computed, without padding', colour: 1, value: perSecond('tokens') },
      {
        label: 'with padding',
        about: 'Tokens computed, padding included',
        colour: 2,
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
        about: 'Half of the requests took no longer, from acceptance to answer',
        colour: 1,
        value: percentile('total_time', 0.5),
      },
      {
        label: 'p90',
        about: 'Nine of ten requests took no longer',
        colour: 2,
        dash: DASH,
        value: percentile('total_time', 0.9),
      },
      {
        label: 'p99',
        about: 'All but one of a hundred requests took no longer',
        colour: 4,
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
        about: 'From acceptance until a worker takes it: half no longer',
        colour: 1,
        value: percentile('queue_time', 0.5),
      },
      {
        label: 'queue p99',
        about: 'From acceptance until a worker takes it: all but one of a hundred no longer',
        colour: 4,
        dash: DOTS,
        value: percentile('queue_time', 0.99),
      },
      {
        label: 'run p50',
        about: 'A run of the graph: half no longer',
        colour: 3,
        value: percentile('compute_time', 0.5),
      },
      {
        label: 'run p99',
        about: 'A run of the graph: all but one of a hundred no longer',
        colour: 5,
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
        about: 'Texts that wait for a worker: the most that was seen',
        colour: 4,
        value: greatest('queueRows'),
      },
      {
        label: 'with workers',
        about: 'Texts that are with a worker: the most that was seen',
        colour: 1,
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
        about: 'Answered with an error by a worker or the sink, or because they killed workers',
        colour: 4,
        value: perSecond('failed', 'poisoned'),
      },
      {
        label: 'refused',
        about: 'Not fit, too large, or unreadable',
        colour: 5,
        dash: DASH,
        value: perSecond('refused', 'garbage'),
      },
      { label: 'busy', about: 'Refused because the queue of the server was full', colour: 2, value: perSecond('busy') },
      {
        label: 'expired',
        about: 'Not computed before their deadline',
        colour: 6,
        dash: DOTS,
        value: perSecond('expired'),
      },
      {
        label: 'HTTP 4xx',
        about: 'Answers of 4xx but 429 to requests over HTTP that encode',
        colour: 1,
        dash: DASH,
        value: perSecond('httpBad'),
      },
      {
        label: '429',
        about: 'Requests over HTTP that were turned away because too many were waiting',
        colour: 3,
        dash: DASH,
        value: perSecond('httpTurnedAway'),
      },
      {
        label: '5xx',
        about: 'Answers of 5xx to requests over HTTP that encode',
        colour: 4,
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
    lines: [{ label: 'share', about: 'Share of the computed tokens that was padding', colour: 2, value: paddingOf }],
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
        about: 'Clients that asked within 180 seconds; each connection of the HTTP proxy is one',
        colour: 1,
        value: greatest('clients'),
      },
    ],
  },
]

/** The values of each line of a chart, at each point. */
export function valuesOf(chart: Chart, points: Points, history: History): Values[] {
  return chart.lines.map((line) => points.slots.map((slot) => line.value(slot, history.bounds)))
}
