import type { Transport } from '@gantry/transport';
import { openSshStore } from './open.ts';

export type { SshOpenOptions } from './open.ts';
export { openSshStore } from './open.ts';
export { SshStore } from './ssh-store.ts';

/** Serves `ssh://[user@]host[:port]/DIRECTORY`. */
const transport: Transport = { schemes: ['ssh'], open: openSshStore };

export default transport;
