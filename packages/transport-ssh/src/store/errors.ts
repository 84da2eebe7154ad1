import { posix } from 'node:path';
import type { FileSystemReason } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { StoreErrorCode } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { PeerError } from '../engine/peer-error.ts';
import type { LaneFile } from '../sftp/lane.ts';
import { STATUS } from '../sftp/protocol.ts';
import type { FileSystemSpace, SftpClient } from '../sftp/sftp-client.ts';
import { SftpStatusError, hasStatus } from '../sftp/status-error.ts';
import { SftpProtocolError } from '../sftp/wire.ts';

interface Meaning {
  readonly reason?: FileSystemReason;
  readonly code: StoreErrorCode;
  readonly what?: string;
  readonly hint?: string;
}

/** Linux does not always tell by statvfs(3) that a file system has turned read-only. */
const LOOK_THERE =
  "SFTP does not say why: look at the peer's kernel log (a disk may fail, or its file system have turned read-only), and at the log of its sshd.";

const ACCESS: Meaning = { code: 'denied', hint: 'Give the account on the peer access to the directory.' };

const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [STATUS.noSuchFile, { reason: 'missing', code: 'not-found' }],
  [STATUS.permissionDenied, ACCESS],
  [STATUS.failure, { code: 'unavailable', hint: LOOK_THERE }],
  [STATUS.badMessage, { code: 'unsupported', hint: 'The peer takes no such name or request.' }],
  [STATUS.noConnection, { code: 'unavailable' }],
  [STATUS.connectionLost, { code: 'unavailable' }],
  [STATUS.unsupported, { code: 'unsupported', hint: 'The SFTP server of the peer cannot do that; OpenSSH can.' }],
]);

/** Less room than this in a file system counts as none, bytes: some keep the last blocks for themselves. */
const MIN_ROOM_BYTES = 1024 * 1024;

/** An error of the connection or the server as a file system says it; any other error as it is. */
export function asFileSystemError(error: unknown): unknown {
  if (error instanceof PeerError) {
    const { code, message, hint } = error;
    return new FileSystemError('failed', { code, message, hint, cause: error });
  }
  if (error instanceof SftpStatusError) return statusError(error, MEANINGS.get(error.status) ?? { code: 'unavailable' });
  if (error instanceof SftpProtocolError)
    return new FileSystemError('failed', { code: 'unsupported', message: error.message, cause: error });
  return error;
}

/** An error of the connection as a caller hears it; any other error as it is. @param about `doing` such as `connecting to ssh://peer` */
export function asStoreError(error: unknown, { doing }: { readonly doing: string }): unknown {
  if (!(error instanceof PeerError)) return error;
  return new StoreError(error.code, { message: `${doing}: ${error.message}`, hint: error.hint, cause: error });
}

/** Runs calls of the protocol, and says their errors as a file system does. */
export async function calling<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asFileSystemError(error);
  }
}

/** What a call gives; undefined where the server says that nothing is there. */
export async function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (hasStatus(error, STATUS.noSuchFile)) return undefined;
    throw asFileSystemError(error);
  }
}

/** A refusal with the reason that the server did not give. */
export function withReason(reason: FileSystemReason, cause: SftpStatusError): FileSystemError {
  return statusError(cause, { ...MEANINGS.get(cause.status), code: reason === 'exists' ? 'exists' : 'unavailable', reason });
}

/**
 * Where the server says no more than "failure", its file system is asked: it may be full or read-only.
 * @param path what it happened to, which need not be there, or anything on the same file system
 */
export async function explainFailure(error: unknown, client: SftpClient, path: string): Promise<unknown> {
  const cause = failureOf(error);
  if (cause === undefined || client.failure !== undefined || !client.has('statvfs')) return error;
  const space = await askSpace(client, path);
  if (space === undefined) return error;
  if (space.readOnly) return statusError(cause, { code: 'denied', what: 'the file system is mounted read-only' });
  if (space.availableBytes < MIN_ROOM_BYTES) return statusError(cause, full('the file system is full'));
  if (space.availableFiles === 0) return statusError(cause, full('the file system has no room for more files'));
  return error;
}

/**
 * As {@link explainFailure}, for data: where there is room, and still it is not taken, a quota is likeliest, unless what was taken cannot
 * be made durable either.
 */
export async function explainWriteFailure(error: unknown, { client, handle }: LaneFile, path: string): Promise<unknown> {
  const explained = await explainFailure(error, client, path);
  const cause = failureOf(error);
  if (cause === undefined || explained !== error || client.failure !== undefined) return explained;
  if (client.has('fsync') && (await isRefused(client.sync(handle)))) {
    const what = 'the file system takes no writes any more: it has failed, or turned read-only after an error';
    return statusError(cause, { code: 'unavailable', what, hint: LOOK_THERE });
  }
  const hint = "Its file system has room: look at the account's quota, at limits on the size of files, and at the log of the peer.";
  return statusError(cause, { code: 'full', what: 'the peer takes no more', hint });
}

async function isRefused(call: Promise<void>): Promise<boolean> {
  return call.then(
    () => false,
    () => true,
  );
}

/** The bare "failure" of the server beneath an error, where there is one. */
function failureOf(error: unknown): SftpStatusError | undefined {
  const cause = error instanceof FileSystemError ? error.cause : undefined;
  return hasStatus(cause, STATUS.failure) ? cause : undefined;
}

async function askSpace(client: SftpClient, path: string): Promise<FileSystemSpace | undefined> {
  for (const each of [path, posix.dirname(path)]) {
    const space = await client.space(each).catch(() => undefined);
    if (space !== undefined) return space;
  }
  return undefined;
}

function full(what: string): Meaning {
  return { code: 'full', what, hint: 'Make room on the peer, or use another store.' };
}

function statusError(error: SftpStatusError, { reason = 'failed', code, what, hint }: Meaning): FileSystemError {
  const message = what === undefined ? error.message : `${what} (${error.message})`;
  return new FileSystemError(reason, { code, message, hint, cause: error });
}
