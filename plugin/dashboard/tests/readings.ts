// Statuses and readings for tests, as a server of release 2 sends them.

import { readStatus, type Reading } from '../src/lib/status'

export const BOUNDS = [0.001, 0.01, 0.1, null]

/** Cumulative buckets of so many durations each. */
export function buckets(...counts: number[]): [number | null, number][] {
  let sum = 0
  return counts.map((count, place) => [BOUNDS[place]!, (sum += count)])
}

export function statusOf(
  statistic: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    server_version: '1.10.0',
    server_release: '2.0.0',
    server_state: 'serving',
    server_start_time: '2026-11-25 10:00:00.000000',
    server_current_time: '2026-11-25 10:01:30.500000',
    model_dir: '/models/tiny/model',
    max_seq_len: 25,
    http_api_key: '***',
    workers: [
      { worker: 0, device: -1, state: 'ready', pid: 11, restarts: 0 },
      { worker: 1, device: 0, state: 'ready', pid: 12, restarts: 0 },
    ],
    statistic: {
      num_data_request: 100,
      num_published_request: 90,
      num_rows_done: 900,
      num_tokens_done: 8000,
      num_computed_tokens: 10000,
      num_failed_request: 1,
      queue_rows: 7,
      num_active_client: 3,
      total_time: { count: 10, buckets: buckets(1, 4, 5, 0) },
      ...statistic,
    },
    ...more,
  }
}

export function readingOf(
  at: number,
  statistic: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Reading {
  return readStatus(statusOf(statistic, more), at)!
}

/** A store in memory, which may be full: no value longer than `room` characters in all. */
export function memoryStore(room = Infinity): Storage {
  const values = new Map<string, string>()
  return {
    get length() {
      return values.size
    },
    key: (place) => [...values.keys()][place] ?? null,
    getItem: (name) => values.get(name) ?? null,
    removeItem: (name) => void values.delete(name),
    clear: () => values.clear(),
    setItem: (name, value) => {
      const others = [...values].reduce((sum, [other, text]) => sum + (other === name ? 0 : text.length), 0)
      if (others + value.length > room) throw new DOMException('full', 'QuotaExceededError')
      values.set(name, value)
    },
  }
}
