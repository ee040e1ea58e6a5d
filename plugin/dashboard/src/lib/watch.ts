// What the page knows of one server: the latest reading, its history and events, and since when it has been away.

import { eventsBetween, latest, type Event } from './events'
import { History } from './history'
import { changeBetween } from './rates'
import type { Outcome } from './ask'
import type { Reading } from './status'

export class Watch {
  readonly history = new History()
  events: Event[] = []
  /** The latest; it is of the past while `outcome` is none. */
  reading: Reading | null = null
  outcome: Outcome | null = null
  /** Since when there has been no reading; null while there is. */
  awaySince: number | null = null

  /** Take in what came of a poll, at `now`. */
  take(outcome: Outcome, now: number): void {
    const wasThere = this.outcome === null || this.outcome.kind === 'reading'
    const before = this.outcome
    this.outcome = outcome
    if (outcome.kind !== 'reading') {
      if (wasThere) this.awaySince = now
      if (before?.kind === 'reading' && outcome.kind !== 'locked')
        this.add([{ at: now, level: 'bad', text: 'the server is not reachable' }])
      return
    }
    const { reading } = outcome
    if (!wasThere && this.reading !== null)
      this.add([{ at: now, level: 'good', text: 'the server is reachable again' }])
    this.awaySince = null
    if (this.reading !== null) {
      // After an absence nobody knows when things were done: that is a gap, but what has happened is told.
      const change = wasThere ? changeBetween(this.reading, reading) : null
      const bounds = Object.values(reading.times)[0]?.bounds ?? []
      if (change) this.history.add(change, bounds)
      this.add(eventsBetween(this.reading, reading))
    }
    this.reading = reading
  }

  private add(events: Event[]): void {
    if (events.length) this.events = latest([...events.reverse(), ...this.events])
  }
}
