import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'
import { defineConfig } from 'vitest/config'

import { digestOfSources } from './sources.ts'

/** Says in the page what it was made from. */
function stamp(): Plugin {
  return {
    name: 'stamp',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { name: 'sources', content: digestOfSources(import.meta.dirname) }, injectTo: 'head' },
    ],
  }
}

/** Takes out of the page what only a reader of the bare source needs. */
function withoutSourceNote(): Plugin {
  return {
    name: 'without-source-note',
    transformIndexHtml: (page) => page.replace(/\s*<!-- source only -->.*<!-- \/source only -->\s*/s, ''),
  }
}

/** Writes next to the page what its digest is, as `sha256sum` does: a page that was changed by hand has another one. */
function digest(): Plugin {
  return {
    name: 'digest',
    apply: 'build',
    writeBundle: ({ dir }) => {
      const page = readFileSync(join(dir!, 'index.html'))
      const hex = createHash('sha256').update(page).digest('hex')
      writeFileSync(join(dir!, 'dashboard.html.sha256'), `${hex}  dashboard.html\n`)
    },
  }
}

export default defineConfig({
  plugins: [vue(), withoutSourceNote(), stamp(), viteSingleFile({ removeViteModuleLoader: true }), digest()],
  define: { __VUE_OPTIONS_API__: 'false' },
  build: { target: 'es2022', reportCompressedSize: false },
  test: { include: ['tests/**/*.test.ts'], testTimeout: 60_000 }, // half a day of polls takes long on a busy machine
})
