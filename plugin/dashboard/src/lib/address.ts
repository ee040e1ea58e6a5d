// Where the server is: what `?server=` says, else where the page came from, else the usual port of this machine.

export const USUAL = 'http://localhost:8125'

export interface Place {
  protocol: string
  origin: string
  pathname: string
  search: string
}

/** The address that a page at `place` asks, without a slash at its end. A fault in `?server=` is said, and the default taken. */
export function serverOf(place: Place): { server: string; fault: string | null } {
  const given = new URLSearchParams(place.search).get('server')
  if (given === null || given.trim() === '') return { server: defaultServer(place), fault: null }
  try {
    return { server: readServer(given), fault: null }
  } catch (error) {
    return { server: defaultServer(place), fault: `?server=: ${(error as Error).message}` }
  }
}

/** Where the page came from; a proxy in front may have put it below another path. */
export function defaultServer(place: Place): string {
  if (!/^https?:$/.test(place.protocol)) return USUAL
  return place.origin + (/^(.*)\/dashboard\/?$/.exec(place.pathname)?.[1] ?? '')
}

/** The address that somebody has typed, made whole; an Error that says what is wrong with it. */
export function readServer(text: string): string {
  const whole = /^[a-z][a-z+.-]*:\/\//i.test(text.trim()) ? text.trim() : `http://${text.trim()}`
  let url: URL
  try {
    url = new URL(whole)
  } catch {
    throw new Error(`"${text}" is not an address: use one like ${USUAL}`)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`"${text}" is not an HTTP address: use one like ${USUAL}`)
  }
  if (url.username || url.password) {
    throw new Error('the address contains a user or a password: put the key into its own field')
  }
  if (url.search || url.hash) throw new Error(`"${text}" must end before the ${url.search ? '?' : '#'}`)
  return (url.origin + url.pathname).replace(/\/+$/, '')
}

/** The address of a page at `place` that asks `server`; a default is not written. */
export function searchFor(place: Place, server: string): string {
  const parameters = new URLSearchParams(place.search)
  if (server === defaultServer(place)) parameters.delete('server')
  else parameters.set('server', server)
  const search = parameters.toString()
  return search ? `?${search}` : ''
}

/** Whether the browser asks the server for its leave first, and hides its answers without it (CORS). */
export function isOtherOrigin(place: Place, server: string): boolean {
  return new URL(server).origin !== place.origin
}

/** Where a key goes that is given while `text` is in the field of the address; null while that is not an address. */
export function receiverOf(place: Place, text: string): { server: string; isOther: boolean } | null {
  try {
    const server = readServer(text.trim() || defaultServer(place))
    return { server, isOther: isOtherOrigin(place, server) }
  } catch {
    return null
  }
}
