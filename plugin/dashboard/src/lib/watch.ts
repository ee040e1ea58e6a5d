// All that the page knows of one server: the latest reading, its history and events, and since when it has been away.

import { eventsBetween, latest, type Event } from './events'
import { History } from './history'
import { changeBetween, type Change } from './rates'
import type { Outcome } from './ask'
import type { Past } from './past'
import type { Reading } from './status'

export class Watch {
  readonly history = new History()
  events: Event[] = []
  /** The latest; it is of the past while `outcome` is none. */
  reading: Reading | null = null
  outcome: Outcome | null = null
  /** Since when it has been away; null while it is not. */
  awaySince: number | null = null
  /** Whether time is missing before the latest reading, of which the server may know. */
  lacksPast = false
  private hasBeenThere = false
  private hasPast = false

  /** Take in what came of a poll, at `now`. */
  take(outcome: Outcome, now: number): void {
    const before = this.outcome
    this.outcome = outcome
    this.sayWhetherAway(isAway(outcome), before !== null && isAway(before), now)
    if (outcome.kind !== 'reading') return
    const { reading } = outcome
    this.lacksPast = this.reading === null
    if (this.reading !== null) {
      // After an absence nobody knows when things were done: that is a gap, but what has happened is told.
      const change = before?.kind === 'reading' ? changeBetween(this.reading, reading) : null
      const bounds = Object.values(reading.times)[0]?.bounds ?? []
      if (change) this.history.add(change, bounds)
      else this.lacksPast = true
      this.add(eventsBetween(this.reading, reading))
    }
    this.reading = reading
  }

  /** Take in what the server has kept of the time before the latest reading, where this page has seen nothing. */
  fill({ readings, gapMs }: Past): void {
    const { reading } = this
    if (reading === null) return
    const all = [...readings.filter(({ at }) => at < reading.at), reading]
    const changes: Change[] = []
    for (const [n, newer] of all.entries()) {
      const older = all[n - 1]
      if (older === undefined) continue
      // Later, this page has already told what happened while it could not see.
      if (!this.hasPast && !this.history.hasSeen(older.at, newer.at)) this.add(eventsBetween(older, newer))
      const change = newer.at - older.at <= gapMs ? changeBetween(older, newer) : null
      if (change) changes.push(change)
    }
    this.hasPast = true
    this.history.fill(changes, Object.values(reading.times)[0]?.bounds ?? [])
  }

  /** On both edges alike. Of one that has never been there, only since when. */
  private sayWhetherAway(is: boolean, was: boolean, now: number): void {
    if (is !== was) {
      this.awaySince = is ? now : null
      if (this.hasBeenThere)
        this.add([
          is
            ? { at: now, level: 'bad', text: 'the server is unreachable' }
            : { at: now, level: 'good', text: 'the server is reachable again' },
        ])
    }
    if (!is) this.hasBeenThere = true
  }

  private add(events: Event[]): void {
    if (events.length) this.events = latest([...events.reverse(), ...this.events])
  }
}

/** One that asks for a key is there. */
function isAway({ kind }: Outcome): boolean {
  return kind !== 'reading' && kind !== 'locked'
}
