import { describe, expect, it } from 'vitest'

import {
  defaultServer,
  isOtherOrigin,
  readServer,
  receiverOf,
  searchFor,
  serverOf,
  USUAL,
  type Place,
} from '../src/lib/address'

function place(url: string): Place {
  const { protocol, origin, pathname, search } = new URL(url)
  return { protocol, origin, pathname, search }
}

describe('the address of the server', () => {
  it.each([
    ['http://host:8125/dashboard', 'http://host:8125'],
    ['http://host:8125/dashboard/', 'http://host:8125'],
    ['https://host/bert/dashboard', 'https://host/bert'],
    ['http://host:5173/', 'http://host:5173'],
    ['http://host/pages/index.html', 'http://host'],
    ['file:///home/me/dashboard.html', USUAL],
  ])('of a page at %s is %s', (url, server) => {
    expect(defaultServer(place(url))).toBe(server)
    expect(serverOf(place(url))).toEqual({ server, fault: null })
  })

  it('is what ?server= says', () => {
    expect(serverOf(place('file:///x.html?server=gpu:9000')).server).toBe('http://gpu:9000')
    const { server, fault } = serverOf(place('http://host/dashboard?server=ftp://x'))
    expect(server).toBe('http://host')
    expect(fault).toMatch(/^\?server=: "ftp:\/\/x" is not an HTTP address/)
  })

  it.each([
    ['localhost:8125', 'http://localhost:8125'],
    [' http://a.example/ ', 'http://a.example'],
    ['https://a.example:8/bert//', 'https://a.example:8/bert'],
    ['[::1]:8125', 'http://[::1]:8125'],
  ])('typed as %j is %s', (text, server) => {
    expect(readServer(text)).toBe(server)
  })

  it.each([
    ['http://', 'not an address'],
    ['a b', 'not an address'],
    ['javascript://x', 'not an HTTP address'],
    ['http://me:secret@host', 'contains a user or a password'],
    ['http://host/?key=1', 'must end before the ?'],
    ['http://host/#x', 'must end before the #'],
  ])('is not %j', (text, says) => {
    expect(() => readServer(text)).toThrow(says)
  })

  it('is written into the address of the page unless it is the default', () => {
    expect(searchFor(place('file:///x.html'), 'http://gpu:1')).toBe('?server=http%3A%2F%2Fgpu%3A1')
    expect(searchFor(place('http://host/dashboard?server=http://b&x=1'), 'http://host')).toBe('?x=1')
  })

  it('is of another origin or not', () => {
    expect(isOtherOrigin(place('http://host:1/dashboard'), 'http://host:1')).toBe(false)
    expect(isOtherOrigin(place('http://host:1/dashboard'), 'http://host:2')).toBe(true)
    expect(isOtherOrigin(place('file:///x.html'), USUAL)).toBe(true)
  })

  it('is where a key goes, as it is typed', () => {
    const here = place('https://host/bert/dashboard?server=https://evil.example')
    expect(receiverOf(here, 'https://evil.example/')).toEqual({ server: 'https://evil.example', isOther: true })
    expect(receiverOf(here, ' ')).toEqual({ server: 'https://host/bert', isOther: false })
    expect(receiverOf(here, 'ftp://x')).toBeNull()
  })
})
