// Says in plain words who can use the server, and counts what its keys have allowed and refused so far.

import type { HttpAccess } from './access'
import type { Counter, Reading } from './status'

/** The options of a status that decide who can use the server. */
export interface SecurityFacts {
  /** Whether the ZeroMQ ports have keys. */
  hasKeys: boolean
  host: string
  ports: string
  letsOthersStop: boolean
  /** Of the server's own HTTP proxy; null if the one that answers was started by itself. */
  http: { host: string; mayHaveKeys: boolean; allowsAllOrigins: boolean } | null
}

export interface Finding {
  level: 'good' | 'news'
  text: string
}

export interface Tally {
  name: string
  words: string
  count: number | undefined
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/

const ACTIONS: [Counter, string][] = [
  ['num_security_connected', 'connections with a key'],
  ['num_security_granted', 'requests allowed'],
  ['num_security_refused', 'refused: the key or its grants do not allow it'],
  ['num_security_quota', 'refused: a quota was reached'],
  ['num_security_wrong_key', 'connections without a known key'],
  ['num_security_cancelled', 'requests canceled'],
  ['num_security_terminated', 'requests to stop the server, allowed'],
]

const REFUSALS: [string, string][] = [
  ['Unauthorized', 'refused: no valid key'],
  ['WrongKeys', 'refused: too many wrong keys from that address'],
  ['Forbidden', 'refused: the key lacks a grant'],
  ['QuotaExceeded', 'refused: a quota was reached'],
]

/** The sentences about a server that this page asks at `server`, with a key or without; none of one that does not tell. */
export function findingsOf(facts: SecurityFacts | null, server: string, sendsKey: boolean): Finding[] {
  return facts === null ? [] : [ofZeroMq(facts), ofHttp(facts, sendsKey), ofTls(server), ...ofStopping(facts)].flat()
}

function ofZeroMq({ hasKeys, host, ports }: SecurityFacts): Finding {
  if (hasKeys)
    return { level: 'good', text: `ZeroMQ, ports ${ports}: encrypted, and only clients with a key can connect.` }
  if (LOOPBACK.test(host)) return { level: 'good', text: `ZeroMQ, ports ${ports}: no key; this machine only.` }
  return {
    level: 'news',
    text:
      `ZeroMQ, ports ${ports}: no key and no encryption. Anyone who can reach the ports can use the server. ` +
      'Make keys with bert-serving-keys, or listen on -host 127.0.0.1.',
  }
}

function ofHttp({ http }: SecurityFacts, sendsKey: boolean): Finding {
  if (sendsKey && http?.mayHaveKeys !== false) return { level: 'good', text: 'HTTP: this page sends a key.' }
  if (http && LOOPBACK.test(http.host)) return { level: 'good', text: 'HTTP: no key; this machine only.' }
  const pages = http?.allowsAllOrigins ? ' So can any web page in their browsers (-cors).' : ''
  return {
    level: 'news',
    text: `HTTP: no key. Anyone who can reach the port can use the server.${pages} Set -http_api_key_file or -principals.`,
  }
}

function ofTls(server: string): Finding[] {
  return server.startsWith('https:') ? [{ level: 'good', text: 'HTTP: encrypted (TLS).' }] : []
}

function ofStopping({ letsOthersStop }: SecurityFacts): Finding[] {
  if (!letsOthersStop) return []
  return [{ level: 'news', text: 'Other machines can stop the server (-allow_remote_terminate).' }]
}

/** The counts of what was allowed and refused at the ZeroMQ ports; [] of a server without keys. */
export function actionsOf({ counters, facts }: Reading): Tally[] {
  if (!facts?.hasKeys) return []
  return ACTIONS.map(([name, words]) => ({ name, words, count: counters[name] }))
}

/** The counts of what was refused at the HTTP port; [] while nothing was, and no key is known. */
export function refusalsOf(access: HttpAccess | null): Tally[] {
  const tallies = REFUSALS.map(([name, words]) => ({ name, words, count: access?.refusals[name] }))
  const isTold = tallies.some(({ count }) => count) || principalsOf(access).length > 0
  return isTold ? tallies : []
}

/** The holders of keys for HTTP; [] if there is only everybody. */
export function principalsOf(access: HttpAccess | null): HttpAccess['principals'] {
  const principals = access?.principals ?? []
  return principals.length === 1 && principals[0]!.name === 'anonymous' ? [] : principals
}
