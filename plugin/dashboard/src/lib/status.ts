// What one poll says: the answer of /status/server, read with care. A server of release 1.10 tells less than ours; what
// it does not tell is left out, and never taken for zero.

import { readBuckets, type Buckets } from './histogram'
import type { HttpCounts } from './metrics'

export const COUNTERS = [
  'num_data_request',
  'num_total_seq',
  'num_sys_request',
  'num_published_request',
  'num_rows_done',
  'num_tokens_done',
  'num_computed_tokens',
  'num_computed_row',
  'num_cached_row',
  'num_run',
  'num_failed_request',
  'num_refused_request',
  'num_busy_request',
  'num_expired_request',
  'num_poisoned_request',
  'num_cancelled_request',
  'num_gone_request',
  'num_garbage_message',
  'num_requeued_job',
  'num_given_up_reply',
  'num_truncated_row',
  'num_worker_restart',
  'num_sink_restart',
  'num_http_restart',
] as const

export const GAUGES = [
  'queue_rows',
  'queue_requests',
  'in_flight_rows',
  'unfinished_requests',
  'unfinished_rows',
  'num_active_client',
  'num_total_client',
] as const

export const TIMES = ['total_time', 'queue_time', 'compute_time'] as const

export type Counter = (typeof COUNTERS)[number]
export type Gauge = (typeof GAUGES)[number]
export type Time = (typeof TIMES)[number]

export interface Worker {
  number: number
  state: string
  device: string
  pid: number | null
  restarts: number | null
}

/** A server behind a proxy that has several. */
export interface Upstream {
  name: string
  address: string
  isAway: boolean
  unanswered: number | null
  requests: number | null
  errors: number | null
}

export interface Reading {
  /** When the answer came, in milliseconds since 1970 by this machine. */
  at: number
  state: string | null
  release: string | null
  protocol: string | null
  /** The server's own words, by its own clock; only ever compared with each other. */
  startedAt: string | null
  uptimeS: number | null
  model: string | null
  /** Null: the server does not tell. */
  workers: Worker[] | null
  /** In the order of the proxy; none if it has a single server. */
  upstreams: Upstream[]
  counters: Partial<Record<Counter, number>>
  gauges: Partial<Record<Gauge, number>>
  times: Partial<Record<Time, Buckets>>
  /** Null: /metrics did not answer. */
  http: HttpCounts | null
  /** Names and values as they are shown. */
  configuration: [string, string][]
}

type Json = Record<string, unknown>

const NOT_CONFIGURATION = new Set(['statistic', 'workers', 'upstreams', 'client', 'status', 'server_current_time'])

/** The reading of a status that came `at`; null if it is none of a bert-as-service. */
export function readStatus(body: unknown, at: number, http: HttpCounts | null = null): Reading | null {
  if (!isObject(body) || !isObject(body.statistic) || typeof body.server_version !== 'string') return null
  const statistic = body.statistic
  return {
    at,
    state: textOf(body.server_state),
    release: textOf(body.server_release),
    protocol: body.server_version,
    startedAt: textOf(body.server_start_time),
    uptimeS: secondsBetween(textOf(body.server_start_time), textOf(body.server_current_time)),
    model: modelOf(body.model_dir),
    workers: Array.isArray(body.workers) ? body.workers.filter(isObject).map(readWorker) : null,
    upstreams: Array.isArray(body.upstreams) ? body.upstreams.filter(isObject).map(readUpstream) : [],
    counters: numbersOf(statistic, COUNTERS),
    gauges: numbersOf(statistic, GAUGES),
    times: timesOf(statistic),
    http,
    configuration: Object.keys(body)
      .filter((name) => !NOT_CONFIGURATION.has(name))
      .sort()
      .map((name) => [name, show(body[name])]),
  }
}

function readWorker(worker: Json, place: number): Worker {
  const device = numberOf(worker.device)
  return {
    number: numberOf(worker.worker) ?? place,
    state: textOf(worker.state) ?? 'unknown',
    device: device === null ? '' : device < 0 ? 'CPU' : `GPU ${device}`,
    pid: numberOf(worker.pid),
    restarts: numberOf(worker.restarts),
  }
}

function readUpstream(upstream: Json): Upstream {
  return {
    name: textOf(upstream.name) ?? 'unknown',
    address: textOf(upstream.address) ?? '',
    isAway: upstream.is_away === true,
    unanswered: numberOf(upstream.unanswered_requests),
    requests: numberOf(upstream.requests),
    errors: numberOf(upstream.errors),
  }
}

function timesOf(statistic: Json): Partial<Record<Time, Buckets>> {
  const times: Partial<Record<Time, Buckets>> = {}
  for (const name of TIMES) {
    const summary = statistic[name]
    const buckets = isObject(summary) ? readBuckets(summary.buckets) : null
    if (buckets) times[name] = buckets
  }
  return times
}

function numbersOf<Name extends string>(values: Json, names: readonly Name[]): Partial<Record<Name, number>> {
  const numbers: Partial<Record<Name, number>> = {}
  for (const name of names) {
    const value = numberOf(values[name])
    if (value !== null) numbers[name] = value
  }
  return numbers
}

/** The folder's name; that of the folder around it, if it is called `model`, as packages have it. */
function modelOf(folder: unknown): string | null {
  const parts = (textOf(folder) ?? '').split('/').filter((part) => part !== '' && part !== 'model')
  return parts.at(-1) ?? null
}

/** Both are of the server's clock and without a zone, so that only their difference means anything here. */
function secondsBetween(earlier: string | null, later: string | null): number | null {
  if (earlier === null || later === null) return null
  const [from, to] = [earlier, later].map((text) => Date.parse(`${text.replace(' ', 'T').slice(0, 23)}Z`))
  const seconds = (to! - from!) / 1000
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null
}

function show(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return value.map(show).join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
