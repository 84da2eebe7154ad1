import { closeSync, writeSync } from 'node:fs';
import { callLibc } from './libc.ts';

/** From linux/memfd.h: a child inherits it only if it is passed on. */
const MFD_CLOEXEC = 1;

/** A file without a name, in memory: nothing is left of it when its last descriptor is closed, even by a kill. */
export class MemoryFile implements Disposable {
  readonly fd: number;

  /** @throws SystemCallError */
  constructor(bytes: Uint8Array) {
    this.fd = callLibc('memfd_create', Buffer.from('gantry\0'), MFD_CLOEXEC);
    for (let at = 0; at < bytes.length;) at += writeSync(this.fd, bytes, at);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
