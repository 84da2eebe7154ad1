/*
 * The constants of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions (its file PROTOCOL).
 */

/** Packet types. */
export const PACKET = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** The status codes of a server. */
export const STATUS = {
  ok: 0,
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
} as const;

/** Flags for opening a file. */
export const OPEN = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

/** Extensions that a server may have, as OpenSSH does; it lists them in its first packet. */
export const EXTENSION = {
  fsync: 'fsync@openssh.com',
  hardlink: 'hardlink@openssh.com',
  posixRename: 'posix-rename@openssh.com',
  statvfs: 'statvfs@openssh.com',
  limits: 'limits@openssh.com',
  // draft-ietf-secsh-filexfer-extensions-00, section 7; OpenSSH since 9.0.
  copyData: 'copy-data',
} as const;

/** The protocol version that is used. */
export const SFTP_VERSION = 3;

/** How much data every server accepts in one packet (section 3 of the draft: packets of 34,000 bytes). */
export const SAFE_DATA_BYTES: number = 32 * 1024;
