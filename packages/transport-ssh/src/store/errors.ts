import { posix } from 'node:path';
import type { StoreErrorCode } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { PeerError } from '../engine/peer-error.ts';
import { STATUS } from '../sftp/protocol.ts';
import type { FileSystemSpace, SftpClient } from '../sftp/sftp-client.ts';
import { SftpStatusError, hasStatus } from '../sftp/status-error.ts';
import { SftpProtocolError } from '../sftp/wire.ts';

/** What was being done, to what. */
export interface Doing {
  /** Such as `writing disk0 in ssh://peer/exports`. */
  readonly doing: string;
  readonly key?: string | undefined;
}

interface Meaning {
  readonly code: StoreErrorCode;
  readonly what?: string;
  readonly hint?: string;
}

const ACCESS: Meaning = { code: 'denied', hint: 'Give the account on the peer access to the directory.' };

const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [STATUS.noSuchFile, { code: 'not-found' }],
  [STATUS.permissionDenied, ACCESS],
  [STATUS.failure, { code: 'unavailable', hint: "SFTP does not say why: look at the log of the peer's sshd, and at its disks." }],
  [STATUS.badMessage, { code: 'unsupported', hint: 'The peer takes no such name or request.' }],
  [STATUS.noConnection, { code: 'unavailable' }],
  [STATUS.connectionLost, { code: 'unavailable' }],
  [STATUS.unsupported, { code: 'unsupported', hint: 'The SFTP server of the peer cannot do that; OpenSSH can.' }],
]);

/** Less room than this in a file system counts as none, bytes: some keep the last blocks for themselves. */
const NO_ROOM_BYTES = 1024 * 1024;

/** An error of the connection or the server as a store says it; any other error as it is. */
export function asStoreError(error: unknown, { doing, key }: Doing): unknown {
  if (error instanceof PeerError)
    return new StoreError(error.code, { message: `${doing}: ${error.message}`, key, hint: error.hint, cause: error });
  if (error instanceof SftpStatusError) return statusError(error, MEANINGS.get(error.status) ?? { code: 'unavailable' }, { doing, key });
  if (error instanceof SftpProtocolError)
    return new StoreError('unsupported', { message: `${doing}: ${error.message}`, key, cause: error });
  return error;
}

/**
 * As {@link asStoreError}, but where the server says no more than "failure", its file system is asked: it may be full or read-only.
 * @param path what it happened to, which need not be there, or anything on the same file system
 */
export async function explainFailure(error: unknown, { doing, key }: Doing, client: SftpClient, path: string): Promise<unknown> {
  if (!hasStatus(error, STATUS.failure) || client.failure !== undefined) return asStoreError(error, { doing, key });
  const space = client.has('statvfs') ? await askSpace(client, path) : undefined;
  if (space === undefined) return asStoreError(error, { doing, key });
  if (space.readOnly) return statusError(error, { code: 'denied', what: 'the file system is mounted read-only' }, { doing, key });
  if (space.availableBytes < NO_ROOM_BYTES) return statusError(error, full('the file system is full'), { doing, key });
  if (space.availableFiles === 0) return statusError(error, full('the file system has no room for more files'), { doing, key });
  return asStoreError(error, { doing, key });
}

async function askSpace(client: SftpClient, path: string): Promise<FileSystemSpace | undefined> {
  for (const each of [path, posix.dirname(path)]) {
    const space = await client.space(each).catch(() => undefined);
    if (space !== undefined) return space;
  }
  return undefined;
}

/** As {@link explainFailure}, for writes: where there is room, and still they fail, a quota is likeliest. */
export async function explainWriteFailure(error: unknown, about: Doing, client: SftpClient, path: string): Promise<unknown> {
  const explained = await explainFailure(error, about, client, path);
  if (!hasStatus(error, STATUS.failure) || !(explained instanceof StoreError) || explained.code !== 'unavailable') return explained;
  const hint = "Its file system has room: look at the account's quota, at limits on the size of files, and at the log of the peer.";
  return statusError(error, { code: 'full', what: 'the peer takes no more', hint }, about);
}

function full(what: string): Meaning {
  return { code: 'full', what, hint: 'Make room on the peer, or use another store.' };
}

function statusError(error: SftpStatusError, { code, what, hint }: Meaning, { doing, key }: Doing): StoreError {
  return new StoreError(code, {
    message: what === undefined ? `${doing}: ${error.message}` : `${doing}: ${what} (${error.message})`,
    key,
    hint,
    cause: error,
  });
}
