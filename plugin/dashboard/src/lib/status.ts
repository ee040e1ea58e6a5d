// One poll: the answer of /status/server, read with care. A server of release 1.10 tells less than ours; what
// it does not tell is left out, and never taken for zero.

import type { HttpAccess } from './access'
import { settingsOf, type Setting } from './configuration'
import { readBuckets, type Buckets } from './histogram'
import { isObject, numberOf, numbersOf, textOf, type Json } from './json'
import type { HttpCounts } from './metrics'
import type { SecurityFacts } from './security'

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
  'num_security_connected',
  'num_security_granted',
  'num_security_refused',
  'num_security_cancelled',
  'num_security_terminated',
  'num_security_quota',
  'num_security_wrong_key',
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
  /** The address of its node, if it runs on a cluster. */
  address: string | null
  /** The resources that it asks a cluster for, while it waits for them. */
  waitsFor: string | null
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
  /** Null: the same. */
  access: HttpAccess | null
  /** Null: the server does not tell. */
  facts: SecurityFacts | null
  /** Names and values as they are shown. */
  configuration: Setting[]
}

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
    counters: numbersOf(COUNTERS, (name) => statistic[name]),
    gauges: numbersOf(GAUGES, (name) => statistic[name]),
    times: timesOf(statistic),
    http,
    access: null,
    facts: 'curve_key_file' in body ? factsOf(body) : null,
    configuration: settingsOf(body, NOT_CONFIGURATION),
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
    address: textOf(worker.address),
    waitsFor: textOf(worker.waits_for),
  }
}

/** Where a worker runs, or what it waits for: `GPU 0 · pid 11 · on 10.0.0.7`. */
export function detailsOf({ device, pid, address, waitsFor }: Worker): string {
  const details = [
    device,
    pid === null ? null : `pid ${pid}`,
    address && `on ${address}`,
    waitsFor && `waits for ${waitsFor}`,
  ]
  return details.filter(Boolean).join(' · ')
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

function factsOf(body: Json): SecurityFacts {
  const isSet = (name: string): boolean => body[name] !== null && body[name] !== undefined
  return {
    hasKeys: isSet('curve_key_file'),
    host: String(body.host),
    ports: `${String(body.port)} and ${String(body.port_out)}`,
    letsOthersStop: body.allow_remote_terminate === true,
    http: isSet('http_port')
      ? {
          host: String(body.http_host),
          mayHaveKeys: ['http_api_key', 'http_api_key_file', 'principals'].some(isSet),
          allowsAllOrigins: String(body.cors)
            .split(/[\s,]+/)
            .includes('*'),
        }
      : null,
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
