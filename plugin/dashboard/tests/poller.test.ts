import { beforeEach, describe, expect, it } from 'vitest'

import type { Outcome } from '../src/lib/ask'
import { INTERVAL_MS, MAX_INTERVAL_MS, pauseAfter, Poller } from '../src/lib/poller'
import { readingOf } from './readings'

const GOOD: Outcome = { kind: 'reading', reading: readingOf(0) }
const BAD: Outcome = { kind: 'unreachable', reason: 'no connection' }

let timers: Map<number, { call: () => void; ms: number }>
let questions: { signal: AbortSignal; answer: (outcome: Outcome) => Promise<void> }[]
let told: Outcome[]
let poller: Poller

beforeEach(() => {
  ;[timers, questions, told] = [new Map(), [], []]
  let next = 1
  poller = new Poller(
    (signal) =>
      new Promise((resolve) =>
        questions.push({
          signal,
          answer: async (outcome) => {
            resolve(outcome)
            await new Promise((done) => setTimeout(done, 0))
          },
        }),
      ),
    (outcome) => told.push(outcome),
    {
      setTimeout: (call, ms) => (timers.set(next, { call, ms }), next++),
      clearTimeout: (timer) => void timers.delete(timer),
    },
  )
})

function pass(): void {
  const [timer, { call }] = [...timers][0]!
  timers.delete(timer)
  call()
}

describe('the poller', () => {
  it('asks again a while after each answer, one question at a time', async () => {
    poller.askNow()
    expect([questions.length, timers.size]).toEqual([1, 0])
    await questions[0]!.answer(GOOD)
    expect([...timers.values()].map(({ ms }) => ms)).toEqual([INTERVAL_MS])
    pass()
    expect([questions.length, timers.size]).toEqual([2, 0])
    expect(told).toEqual([GOOD])
  })

  it('asks less often while there is no answer, within a bound, and as before once there is', async () => {
    poller.askNow()
    const pauses: number[] = []
    for (let n = 0; n < 7; n++) {
      await questions.at(-1)!.answer(BAD)
      pauses.push([...timers.values()][0]!.ms)
      pass()
    }
    expect(pauses).toEqual([2000, 4000, 8000, 16_000, 16_000, 16_000, 16_000])
    expect(pauseAfter(1000)).toBe(MAX_INTERVAL_MS)
    await questions.at(-1)!.answer(GOOD)
    expect([...timers.values()][0]!.ms).toBe(INTERVAL_MS)
  })

  it('gives up what is on its way when it is to ask now', async () => {
    poller.askNow()
    poller.askNow()
    expect(questions.map(({ signal }) => signal.aborted)).toEqual([true, false])
    await questions[0]!.answer(BAD)
    expect([told, timers.size]).toEqual([[], 0])
    await questions[1]!.answer(GOOD)
    expect([told, timers.size]).toEqual([[GOOD], 1])
  })

  it('hurries only if nothing is on its way', async () => {
    poller.hurry()
    poller.hurry()
    expect(questions).toHaveLength(1)
    await questions[0]!.answer(BAD)
    poller.hurry()
    expect([questions.length, timers.size]).toEqual([2, 0])
  })

  it('stops', async () => {
    poller.askNow()
    poller.stop()
    await questions[0]!.answer(GOOD)
    expect([told, timers.size, questions[0]!.signal.aborted]).toEqual([[], 0, true])
  })

  it('goes on after a question that fails, and says why', async () => {
    const faults: (() => Promise<Outcome>)[] = [
      () => Promise.reject(new TypeError('no such thing')),
      () => {
        throw new TypeError('no such thing')
      },
    ]
    const answers = [...faults, () => Promise.resolve(GOOD)]
    poller = new Poller(
      () => answers.shift()!(),
      (outcome) => told.push(outcome),
      {
        setTimeout: (call, ms) => (timers.set(ms, { call, ms }), ms),
        clearTimeout: (timer) => void timers.delete(timer),
      },
    )
    poller.askNow()
    for (let n = 0; n < 3; n++) {
      await new Promise((done) => setTimeout(done, 0))
      expect(timers.size).toBe(1)
      if (n < 2) pass()
    }
    const fault: Outcome = {
      kind: 'stranger',
      reason: 'cannot read its response (TypeError: no such thing)',
    }
    expect(told).toEqual([fault, fault, GOOD])
  })

  it('says nothing of a question that fails after it was given up', async () => {
    let fail: (error: Error) => void = () => {}
    poller = new Poller(
      () => new Promise((_, reject) => (fail = reject)),
      (outcome) => told.push(outcome),
      { setTimeout: () => 1, clearTimeout: () => {} },
    )
    poller.askNow()
    poller.stop()
    fail(new Error('late'))
    await new Promise((done) => setTimeout(done, 0))
    expect(told).toEqual([])
  })
})
