import { posix } from 'node:path';
import type { FileSystemReason } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { StoreErrorCode } from '@gantry/transport';
import { StoreError, translateFailure } from '@gantry/transport';
import { PeerError } from '../engine/peer-error.ts';
import type { SessionFile } from '../sftp/pooled-session.ts';
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

/** On Linux, statvfs(3) does not always show that a file system has turned read-only. */
const CHECK_LOGS =
  "SFTP does not say why: check the peer's kernel log (a disk may be failing, or its file system may have turned read-only) and the log of its sshd.";

const ACCESS: Meaning = { code: 'denied', hint: 'Give the account on the peer access to the directory.' };

const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [STATUS.noSuchFile, { reason: 'missing', code: 'not-found' }],
  [STATUS.permissionDenied, ACCESS],
  [STATUS.failure, { code: 'unavailable', hint: CHECK_LOGS }],
  [STATUS.badMessage, { code: 'unsupported', hint: 'The peer does not accept that name or request.' }],
  [STATUS.noConnection, { code: 'unavailable' }],
  [STATUS.connectionLost, { code: 'unavailable' }],
  [STATUS.unsupported, { code: 'unsupported', hint: "The peer's SFTP server cannot do that; OpenSSH can." }],
]);

/** Less free space than this counts as none: some file systems reserve the last blocks. */
const MIN_FREE_BYTES = 1024 * 1024;

/** Turns an error of the connection or the server into a FileSystemError; returns any other error unchanged. */
export function asFileSystemError(error: unknown): unknown {
  return translateFailure(error, firstAsFileSystemError);
}

function firstAsFileSystemError(error: unknown): unknown {
  if (error instanceof PeerError) {
    const { code, message, hint } = error;
    return new FileSystemError('failed', { code, message, hint, cause: error });
  }
  if (error instanceof SftpStatusError) return statusError(error, MEANINGS.get(error.status) ?? { code: 'unavailable' });
  if (error instanceof SftpProtocolError)
    return new FileSystemError('failed', { code: 'unsupported', message: error.message, cause: error });
  return error;
}

/** Turns an error of the connection into a StoreError; returns any other error unchanged. @param what such as `cannot connect to ssh://peer` */
export function asStoreError(error: unknown, what: string): unknown {
  return translateFailure(error, (cause) => {
    if (!(cause instanceof PeerError)) return cause;
    return new StoreError(cause.code, { message: `${what}: ${cause.message}`, hint: cause.hint, cause });
  });
}

/** Runs calls of the protocol, and turns their errors into those of a file system. */
export async function calling<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asFileSystemError(error);
  }
}

/** The result of a call; undefined if the server reports that the file does not exist. */
export async function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (hasStatus(error, STATUS.noSuchFile)) return undefined;
    throw asFileSystemError(error);
  }
}

/** Adds the reason to a refusal whose reason the server did not report. */
export function withReason(reason: FileSystemReason, cause: SftpStatusError): FileSystemError {
  return statusError(cause, { ...MEANINGS.get(cause.status), code: reason === 'exists' ? 'exists' : 'unavailable', reason });
}

/**
 * If the server reports only "failure", checks its file system: it may be full or read-only.
 * @param path the path concerned, which need not exist, or another path on the same file system
 */
export async function explainFailure(error: unknown, client: SftpClient, path: string): Promise<unknown> {
  const cause = failureOf(error);
  if (cause === undefined || client.failure !== undefined || !client.has('statvfs')) return error;
  const space = await askSpace(client, path);
  if (space === undefined) return error;
  if (space.readOnly) return statusError(cause, { code: 'denied', what: 'the file system is mounted read-only' });
  if (space.availableBytes < MIN_FREE_BYTES) return statusError(cause, full('the file system is full'));
  if (space.availableFiles === 0) return statusError(cause, full('the file system cannot hold more files'));
  return error;
}

/**
 * As {@link explainFailure}, for data: if there is free space but a write fails, a quota is the likely cause, unless data that was already
 * written cannot be made durable either.
 */
export async function explainWriteFailure(error: unknown, { client, handle }: SessionFile, path: string): Promise<unknown> {
  const explained = await explainFailure(error, client, path);
  const cause = failureOf(error);
  if (cause === undefined || explained !== error || client.failure !== undefined) return explained;
  if (client.has('fsync') && (await isRefused(client.sync(handle)))) {
    const what = 'the file system accepts no more writes: it has failed, or turned read-only after an error';
    return statusError(cause, { code: 'unavailable', what, hint: CHECK_LOGS });
  }
  const hint = "Its file system has free space: check the account's quota, limits on the size of files, and the log of the peer.";
  return statusError(cause, { code: 'full', what: 'the peer accepts no more data', hint });
}

async function isRefused(call: Promise<void>): Promise<boolean> {
  return call.then(
    () => false,
    () => true,
  );
}

/** The server's plain "failure" that caused an error, if any. */
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
  return { code: 'full', what, hint: 'Free some space on the peer, or use another store.' };
}

function statusError(error: SftpStatusError, { reason = 'failed', code, what, hint }: Meaning): FileSystemError {
  const message = what === undefined ? error.message : `${what} (${error.message})`;
  return new FileSystemError(reason, { code, message, hint, cause: error });
}
