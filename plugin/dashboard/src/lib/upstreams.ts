// The servers behind a proxy that has several, in groups: those of one name are replicas.

import type { Upstream } from './status'

export interface Group {
  name: string
  replicas: Upstream[]
  ready: number
}

/** In the order of their first replicas. */
export function groupsOf(upstreams: readonly Upstream[]): Group[] {
  const groups = new Map<string, Upstream[]>()
  for (const upstream of upstreams) groups.set(upstream.name, [...(groups.get(upstream.name) ?? []), upstream])
  return [...groups].map(([name, replicas]) => ({
    name,
    replicas,
    ready: replicas.filter((replica) => !replica.isAway).length,
  }))
}
