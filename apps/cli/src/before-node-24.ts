/* What the language has since Node 24, for the older Node that the package for npm may run on. */
import 'core-js/actual/suppressed-error.js';
import 'core-js/actual/disposable-stack/index.js';
import 'core-js/actual/async-disposable-stack/index.js';
