// Errors by whose concern they are. The server and its HTTP proxy count for themselves, and a request over HTTP that the
// server rejects is in both counts: of each kind the greater count is taken, so that no request counts twice.

import { rateOf, type Slot } from './history'
import type { Sum } from './rates'

export type ErrorKind = 'failed' | 'overload' | 'invalid'

const COUNTED: Record<ErrorKind, { server: readonly Sum[]; http: readonly Sum[] }> = {
  failed: { server: ['failed', 'poisoned'], http: ['httpFailures'] },
  overload: { server: ['busy', 'expired'], http: ['httpTurnedAway'] },
  invalid: { server: ['refused', 'garbage'], http: ['httpBad'] },
}

/** How many errors of a kind a second; null: neither the server nor its proxy tells. */
export function errorRate(slot: Slot | null, kind: ErrorKind): number | null {
  const { server, http } = COUNTED[kind]
  const rates = [rateOf(slot, ...server), rateOf(slot, ...http)].filter((rate) => rate !== null)
  return rates.length ? Math.max(...rates) : null
}
