// The sources of the page and their digest: the build writes that into the page, and a test in Python compares.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const FILES = ['index.html', 'package-lock.json', 'package.json', 'sources.ts', 'tsconfig.json', 'vite.config.ts']
const FOLDERS = ['src']

/** The digest of the sources in `folder`: of their names and contents, in the order of their names. */
export function digestOfSources(folder: string): string {
  const inFolders = FOLDERS.flatMap((name) =>
    readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)),
  )
  const digest = createHash('sha256')
  for (const name of [...FILES, ...inFolders].sort()) {
    const content = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
    digest.update(`${name} ${content}\n`)
  }
  return digest.digest('hex')
}
