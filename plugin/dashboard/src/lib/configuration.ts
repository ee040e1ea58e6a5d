// The configuration as a person reads it: names for numbers, units, and what a missing value means.

import { isObject, type Json } from './json'

/** A key of the status, and its value in words. */
export type Setting = [name: string, value: string]

const STRATEGIES = [
  'NONE',
  'REDUCE_MAX',
  'REDUCE_MEAN',
  'REDUCE_MEAN_MAX',
  'FIRST_TOKEN',
  'LAST_TOKEN',
  'CLS_POOLED',
  'CLASSIFICATION',
  'REGRESSION',
]

const UNITS: Record<string, string> = {
  cache_rows: 'rows',
  http_max_connect: 'requests',
  http_max_waiting: 'requests',
  http_timeout: 's',
  max_batch_size: 'rows',
  max_batch_tokens: 'tokens',
  max_queue_rows: 'rows',
  max_request_rows: 'rows',
  max_seq_len: 'tokens',
  prefetch_size: 'batches',
  priority_batch_size: 'rows',
  shutdown_timeout: 's',
  worker_timeout: 's',
}

/** The meaning of a key without a value; of any other key it is that it is not set. */
const MISSING: Record<string, string> = {
  audit_file: 'none: actions are only counted',
  curve_clients: 'no keys',
  curve_key_file: 'no keys, no encryption',
  export_cache: 'default folder',
  graph_tmp_dir: 'folder for temporary files',
  http_api_key: 'none',
  http_api_key_file: 'none',
  http_model_name: 'name of the model',
  http_port: 'none of this server',
  http_tls_cert: 'no TLS',
  max_batch_tokens: 'set by the device',
  max_memory_bytes: 'memory of the container or machine',
  max_reply_bytes: 'a sixth of max_memory_bytes',
  max_seq_len: 'longest row of each batch',
  max_unread_bytes: '256 MiB, or a sixteenth of max_memory_bytes',
  model_dir: 'default model',
  principals: 'none',
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const BYTE_UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']

/** The settings of a status, in the order of their names; `hidden` keys are not among them. */
export function settingsOf(status: Json, hidden: ReadonlySet<string>): Setting[] {
  return Object.keys(status)
    .filter((name) => !hidden.has(name))
    .flatMap((name) => flat(name, status[name]))
    .map(([name, value]): Setting => [name, show(name, value)])
    .sort(([one], [other]) => (one < other ? -1 : 1))
}

/** An object has a line for each of its keys. */
function flat(name: string, value: unknown): [string, unknown][] {
  if (!isObject(value) || !Object.keys(value).length) return [[name, value]]
  return Object.keys(value).flatMap((key) => flat(`${name}.${key}`, value[key]))
}

function show(name: string, value: unknown): string {
  if (value === null || value === undefined || value === '') return MISSING[name] ?? 'not set'
  if (name === 'pooling_strategy') return STRATEGIES[value as number] ?? String(value)
  if (name === 'gpu_memory_fraction' && typeof value === 'number') return `${100 * value}% of a GPU for each worker`
  if (Array.isArray(value)) return value.length ? list(name, value) : 'none'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number') return withUnit(name, value)
  return isObject(value) ? 'none' : String(value)
}

function list(name: string, values: unknown[]): string {
  if (name === 'device_map') return values.map(deviceOf).join(', ')
  if (name.endsWith('_version')) return values.join('.')
  return values.map((each) => show('', each)).join(', ')
}

function deviceOf(device: unknown): string {
  return device === -1 ? 'CPU' : `GPU ${String(device)}`
}

function withUnit(name: string, value: number): string {
  if (name.endsWith('_bytes') || name === 'http_max_body') return bytes(value)
  const unit = UNITS[name]
  return unit === undefined ? String(value) : `${grouped.format(value)} ${value === 1 ? one(unit) : unit}`
}

function one(unit: string): string {
  return unit === 'batches' ? 'batch' : unit === 's' ? unit : unit.slice(0, -1)
}

function bytes(value: number): string {
  let [amount, place] = [value, 0]
  while (amount >= 1024 && place < BYTE_UNITS.length - 1) [amount, place] = [amount / 1024, place + 1]
  return `${grouped.format(amount)} ${BYTE_UNITS[place]}`
}
