/** unix(7): the path of a socket, without the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Whether a unix socket cannot have this path. */
export function isSocketPathTooLong(path: string): boolean {
  return Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES;
}
