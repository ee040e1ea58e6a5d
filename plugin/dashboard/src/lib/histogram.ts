// Histograms of durations: the status has cumulative buckets since the start, a chart wants percentiles of some seconds.

/** How many durations fell into each bucket; `bounds` are the upper ones, in seconds, the last one null: no bound. */
export interface Buckets {
  bounds: (number | null)[]
  counts: number[]
}

/** Counts by the number of the bucket, without those that are zero: what most are in some seconds. */
export type Sparse = Record<number, number>

/** The buckets of a status, `[[bound, cumulative count], ...]`; null if that is not what they are. */
export function readBuckets(value: unknown): Buckets | null {
  if (!Array.isArray(value) || value.length === 0) return null
  const bounds: (number | null)[] = []
  const counts: number[] = []
  let below = 0
  for (const pair of value) {
    if (!Array.isArray(pair)) return null
    const [bound, cumulative] = pair as unknown[]
    const isBound = bound === null || (typeof bound === 'number' && bound > ((bounds.at(-1) ?? 0) as number))
    if (!isBound || bounds.at(-1) === null || typeof cumulative !== 'number' || !(cumulative >= below)) return null
    bounds.push(bound)
    counts.push(cumulative - below)
    below = cumulative
  }
  return { bounds, counts }
}

export function sameBounds(one: readonly (number | null)[], other: readonly (number | null)[]): boolean {
  return one.length === other.length && one.every((bound, place) => bound === other[place])
}

/** The durations between two readings; null if a count went down or the buckets are not the same. */
export function difference(older: Buckets, newer: Buckets): Sparse | null {
  if (!sameBounds(older.bounds, newer.bounds)) return null
  const more: Sparse = {}
  for (const [place, count] of newer.counts.entries()) {
    const change = count - older.counts[place]!
    if (change < 0) return null
    if (change > 0) more[place] = change
  }
  return more
}

/** `into` and `from` together. */
export function add(into: Sparse, from: Sparse): Sparse {
  const sum = { ...into }
  for (const [place, count] of Object.entries(from)) sum[+place] = (sum[+place] ?? 0) + count
  return sum
}

/**
 * The duration, in seconds, that `share` of all did not exceed: linear within a bucket, as the server's own; null of none.
 * A duration above the last bound counts as that bound.
 */
export function quantile(bounds: readonly (number | null)[], counts: Sparse, share: number): number | null {
  const wanted = share * Object.values(counts).reduce((sum, count) => sum + count, 0)
  if (wanted <= 0) return null
  let below = 0
  let lower = 0
  for (const [place, upper] of bounds.entries()) {
    const count = counts[place] ?? 0
    if (upper === null) break
    if (count > 0 && below + count >= wanted) return lower + ((upper - lower) * (wanted - below)) / count
    below += count
    lower = upper
  }
  return lower
}
