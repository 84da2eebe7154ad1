import { createRequire } from 'node:module';

/* What the language has since Node 24, for programs that use this library on an older Node. Node's own is never replaced. */

const PARTS = ['suppressed-error.js', 'disposable-stack/index.js', 'async-disposable-stack/index.js'];

if (!('AsyncDisposableStack' in globalThis)) {
  const load = createRequire(import.meta.url);
  for (const part of PARTS) load(`core-js/actual/${part}`);
}
