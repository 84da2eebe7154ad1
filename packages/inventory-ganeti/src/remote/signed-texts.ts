/* What Ganeti signs in a remote import and export (lib/masterd/instance.py). */

export const HANDSHAKE_VERSION = 0;

export const HANDSHAKE_TEXT: string = `${HANDSHAKE_VERSION}:Hi, I'm Ganeti`;

export function diskInfoText(disk: number, host: string, port: number, magic: string): string {
  return `${disk}:${host}:${port}:${magic}`;
}
