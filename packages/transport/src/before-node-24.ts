import { createRequire } from 'node:module';

/*
 * What the language has since Node 24, for programs that use this library, or one that is built on it, on an older Node. Node's own is never
 * replaced.
 */
if (!('AsyncDisposableStack' in globalThis)) {
  const require = createRequire(import.meta.url);
  require('core-js/actual/suppressed-error.js');
  require('core-js/actual/disposable-stack/index.js');
  require('core-js/actual/async-disposable-stack/index.js');
}
