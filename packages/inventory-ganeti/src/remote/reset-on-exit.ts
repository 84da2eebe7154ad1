import type { Socket } from 'node:net';
import koffi from 'koffi';

/** socket(7), asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_LINGER = 13;

/**
 * Has the kernel end a connection with RST whenever it is closed before both sides ended it in order: when the process is killed too.
 * (Closing with FIN would look to Ganeti like the end of the data.)
 *
 * @throws Error where the socket is not connected, or the call fails
 */
export function resetOnExit(socket: Socket): void {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) throw new Error('the socket has no file descriptor');
  // struct linger { int l_onoff; int l_linger; }
  const linger = new Uint8Array(Int32Array.of(1, 0).buffer);
  setThreadStack();
  const call = koffi.load(null).func('int setsockopt(int fd, int level, int name, void *value, uint length)');
  if (call(fd, SOL_SOCKET, SO_LINGER, linger, linger.length) !== 0) throw new Error(`setsockopt failed with errno ${koffi.errno()}`);
}

/** What core needs for its own calls: koffi takes its configuration only before the first library is loaded, which may be this one. */
function setThreadStack(): void {
  try {
    koffi.config({ async_stack_size: 1024 * 1024 });
  } catch {
    // It is set.
  }
}
