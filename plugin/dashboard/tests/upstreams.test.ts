import { describe, expect, it } from 'vitest'

import { readStatus } from '../src/lib/status'
import { groupsOf } from '../src/lib/upstreams'
import { statusOf } from './readings'

describe('the servers of a proxy', () => {
  it('are replicas if they have one name, in the order of the first of each', () => {
    const upstreams = [
      { name: 'encoder', address: 'a:1,2', is_away: true },
      { name: 'ranker', address: 'b:1,2', is_away: false },
      { name: 'encoder', address: 'c:1,2', is_away: false },
    ]
    const groups = groupsOf(readStatus(statusOf({}, { upstreams }), 0)!.upstreams)
    expect(groups.map(({ name, ready }) => [name, ready])).toEqual([
      ['encoder', 1],
      ['ranker', 1],
    ])
    expect(groups[0]!.replicas.map((replica) => replica.address)).toEqual(['a:1,2', 'c:1,2'])
  })

  it('are none if it has one server', () => {
    expect(groupsOf([])).toEqual([])
  })
})
