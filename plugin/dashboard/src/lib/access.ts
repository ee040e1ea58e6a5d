// The users of the HTTP port and its refusals, from /metrics.

/** A holder of a key for HTTP. */
export interface HttpPrincipal {
  name: string
  requests: number
  /** Those answered with 4xx or 5xx. */
  errors: number
  rows: number
}

export interface HttpAccess {
  /** Refused requests by reason. */
  refusals: Record<string, number>
  principals: HttpPrincipal[]
}

const SERIES = /^bert_http_(refusals|principal_requests|principal_rows)_total\{([^}]*)\} (\S+)$/

/** The counts in a page in the text format of Prometheus, since the start of the proxy. */
export function readAccess(page: string): HttpAccess {
  const refusals: Record<string, number> = {}
  const principals = new Map<string, HttpPrincipal>()
  for (const line of page.split('\n')) {
    const [, kind, labels = '', number] = SERIES.exec(line) ?? []
    if (kind === undefined) continue
    const count = Number(number)
    if (kind === 'refusals') {
      refusals[labelOf(labels, 'reason')] = count
      continue
    }
    const name = labelOf(labels, 'principal')
    const principal = principals.get(name) ?? { name, requests: 0, errors: 0, rows: 0 }
    principals.set(name, principal)
    if (kind === 'principal_rows') principal.rows += count
    else {
      principal.requests += count
      if (/^[45]/.test(labelOf(labels, 'status'))) principal.errors += count
    }
  }
  return { refusals, principals: [...principals.values()] }
}

export function labelOf(labels: string, name: string): string {
  return new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? ''
}
