import { describe, expect, it } from 'vitest'

import { History, rateOf } from '../src/lib/history'
import { changeBetween } from '../src/lib/rates'
import { loadChoice, loadHistory, loadKey, open, saveChoice, saveHistory, saveKey } from '../src/lib/storage'
import { BOUNDS, buckets, memoryStore, readingOf } from './readings'

const NOW = 1_800_000_000_000
const SERVER = 'http://a:8125'
const EVENTS = [{ at: NOW - 5, level: 'bad' as const, text: 'worker 0 died' }]

function someHistory(): History {
  const history = new History()
  for (let at = NOW - 60_000; at < NOW; at += 2000) {
    const more = { num_data_request: 104, total_time: { buckets: buckets(3, 4, 5, 0) } }
    history.add(changeBetween(readingOf(at), readingOf(at + 2000, more))!, BOUNDS)
  }
  return history
}

describe('a history that is kept', () => {
  it('is the same after a reload, for its own server', () => {
    const store = memoryStore()
    const history = someHistory()
    expect(saveHistory(store, SERVER, history, EVENTS, NOW)).toBe(true)
    const again = new History()
    expect(loadHistory(store, SERVER, again, NOW)).toEqual(EVENTS)
    expect(again).toEqual(history)
    expect(rateOf(again.last(60, NOW), 'requests')).toBeCloseTo(2, 10)
    const other = new History()
    expect(loadHistory(store, 'http://b:8125', other, NOW)).toEqual([])
    expect(other).toEqual(new History())
  })

  it('has a bounded size', () => {
    const history = new History()
    for (let at = NOW - 13 * 3_600_000; at < NOW; at += 2000) {
      history.add(
        changeBetween(
          readingOf(at),
          readingOf(at + 2000, { num_data_request: 1e9, total_time: { buckets: buckets(50, 60, 70, 80) } }),
        )!,
        BOUNDS,
      )
    }
    const store = memoryStore()
    saveHistory(store, SERVER, history, EVENTS, NOW)
    expect(store.getItem(store.key(0)!)!.length).toBeLessThan(500_000)
  })

  it('lets go of what is too old by now, or yet to come', () => {
    const store = memoryStore()
    saveHistory(store, SERVER, someHistory(), [], NOW)
    const late = new History()
    loadHistory(store, SERVER, late, NOW + 2 * 3_600_000)
    expect(late.tiers.hour).toEqual([])
    expect(late.tiers.halfDay).not.toEqual([])
    const early = new History()
    loadHistory(store, SERVER, early, NOW - 3_600_000)
    expect(early.tiers).toEqual({ hour: [], halfDay: [] })
  })

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['another version', '{"version":99,"hour":[]}'],
    ['no lists', '{"version":1,"bounds":1,"hour":{},"halfDay":"x","events":{}}'],
    [
      'no slots',
      `{"version":1,"bounds":[1,null],"hour":[1,null,[],[${NOW - 2},${NOW - 1},1,[],[],[]]],"halfDay":[null],"events":[3,{"at":"x"}]}`,
    ],
  ])('is done without where it is %s', (_, text) => {
    const store = memoryStore()
    store.setItem(`bert-dashboard:history:${SERVER}`, text)
    const history = new History()
    expect(loadHistory(store, SERVER, history, NOW)).toEqual([])
    expect(history.tiers).toEqual({ hour: [], halfDay: [] })
  })

  it('loses single slots that are not fit, and keeps the others', () => {
    const store = memoryStore()
    saveHistory(store, SERVER, someHistory(), [], NOW)
    const name = store.key(0)!
    const kept = JSON.parse(store.getItem(name)!)
    const whole = kept.hour.length
    kept.hour[1][3][0] = -5
    kept.hour[2][5][0] = [99, 1]
    kept.hour[3][1] = kept.hour[3][0]
    store.setItem(name, JSON.stringify(kept))
    const history = new History()
    loadHistory(store, SERVER, history, NOW)
    expect(history.tiers.hour).toHaveLength(whole - 3)
  })

  it('is kept of a few servers only', () => {
    const store = memoryStore()
    for (let n = 0; n < 9; n++) saveHistory(store, `http://${n}`, someHistory(), [], NOW + n)
    const names = Array.from({ length: store.length }, (_, place) => store.key(place)!)
    expect(names.sort()).toEqual([5, 6, 7, 8].map((n) => `bert-dashboard:history:http://${n}`))
  })

  it('makes room by those of other servers, and does no harm where there is none', () => {
    const size = JSON.stringify({}).length
    const probe = memoryStore()
    saveHistory(probe, SERVER, someHistory(), [], NOW)
    const one = probe.getItem(probe.key(0)!)!.length
    const store = memoryStore(1.5 * one)
    expect(saveHistory(store, 'http://old', someHistory(), [], NOW - 1)).toBe(true)
    expect(saveHistory(store, SERVER, someHistory(), [], NOW)).toBe(true)
    expect(store.length).toBe(1)
    expect(saveHistory(memoryStore(size), SERVER, someHistory(), [], NOW)).toBe(false)
  })
})

describe('a store', () => {
  it('that the browser forbids is done without', () => {
    const store = open(() => {
      throw new DOMException('no', 'SecurityError')
    })
    saveKey(store, SERVER, 'sk')
    expect(loadKey(store, SERVER)).toBe('')
    expect(loadHistory(store, SERVER, new History(), NOW)).toEqual([])
  })

  it('gives a key to the server that it was given for', () => {
    const store = memoryStore()
    saveKey(store, SERVER, 'sk-1')
    expect(loadKey(store, SERVER)).toBe('sk-1')
    expect(loadKey(store, 'http://b:8125')).toBe('')
    saveKey(store, SERVER, '')
    expect(store.length).toBe(0)
  })

  it('gives the default for a choice that there is not', () => {
    const store = memoryStore()
    expect(loadChoice(store, 'theme', ['auto', 'dark'])).toBe('auto')
    saveChoice(store, 'theme', 'dark')
    expect(loadChoice(store, 'theme', ['auto', 'dark'])).toBe('dark')
    saveChoice(store, 'theme', 'pink')
    expect(loadChoice(store, 'theme', ['auto', 'dark'])).toBe('auto')
  })
})
