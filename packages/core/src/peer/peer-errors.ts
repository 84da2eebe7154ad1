import type { PeerEnd, StoreErrorCode } from '@gantry/transport';
import { firstFailure, isStoreError } from '@gantry/transport';
import { copyCommand } from '../report/copy-command.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import { VERSION } from '../report/version.ts';
import type { Failure } from './messages.ts';
import { PIPE_VERSION, knownCode } from './messages.ts';

/*
 * The errors between the two sides of a pipe. `peer` is the name of the other side: its address, or `the source`.
 */

/** The exit statuses of a shell for a program that does not exist or cannot be run (POSIX, Shell Command Language, 2.8.2). */
const NO_PROGRAM = new Set([126, 127]);
const MAX_LINES = 8;
const RETRY = 'Check the network and the peer, then move again: a move that was not committed has no effect on the source.';

/** The peer's program ended, or the connection to it was lost. */
export function endedError(peer: string, end: PeerEnd | undefined, greeted: boolean): GantryError {
  const { exitCode, error, text = '' } = end ?? { exitCode: undefined, error: undefined };
  const details = lastLines(text);
  if (error !== undefined) return connectionError(peer, error, greeted);
  if (!greeted && exitCode !== undefined && NO_PROGRAM.has(exitCode)) {
    return new GantryError('PEER_NO_GANTRY', {
      message: `cannot run gantry on ${peer}: it is not installed there, or not executable`,
      hint: `If it is there, but not in the PATH of a login without a terminal, give its path with --peer-program. ${installThere(peer)}`,
      details,
    });
  }
  if (!greeted && /unknown command|unknown option/.test(text)) {
    return new GantryError('PEER_VERSION', {
      message: `the gantry on ${peer} is too old: it cannot receive`,
      hint: installThere(peer),
      details,
    });
  }
  if (!greeted && exitCode !== undefined) {
    return new GantryError('PEER_FAILED', {
      message: `gantry on ${peer} ended with status ${exitCode} before it answered`,
      hint: 'Check that the account may run "gantry receive" there.',
      details,
    });
  }
  return new GantryError('PEER_LOST', { message: `the connection to ${peer} was lost`, hint: RETRY, details });
}

const CONNECTION_CODES: Partial<Readonly<Record<StoreErrorCode, GantryErrorCode>>> = {
  'invalid-address': 'STORE_ADDRESS',
  denied: 'PEER_DENIED',
};

/** Translates a transport's error about the connection; returns any other error unchanged. */
export function asPeerError(error: unknown, peer: string): unknown {
  const first = firstFailure(error);
  return isStoreError(first) ? connectionError(peer, first, false) : asFirstError(error);
}

function connectionError(
  peer: string,
  error: { readonly code: StoreErrorCode; readonly message: string; readonly hint?: string | undefined },
  greeted: boolean,
): GantryError {
  return new GantryError(greeted ? 'PEER_LOST' : (CONNECTION_CODES[error.code] ?? 'PEER_UNAVAILABLE'), {
    message: error.message.includes(peer) ? error.message : `${peer}: ${error.message}`,
    hint: error.hint ?? RETRY,
    cause: error,
  });
}

export function notGantryError(peer: string, text: string): GantryError {
  return new GantryError('PEER_PROTOCOL', {
    message: `${peer} does not answer with gantry's protocol`,
    details: lastLines(text).map((line) => `it sent: ${line}`),
    hint: "Only gantry may write to the channel: make the account's shell print nothing without a terminal.",
  });
}

export function versionError(peer: string, protocol: number, version: string): GantryError {
  return new GantryError('PEER_VERSION', {
    message: `${peer} has gantry ${version} with version ${protocol} of the protocol, but this is ${VERSION} with version ${PIPE_VERSION}`,
    hint: `Both sides need the same version. ${installThere(peer)}`,
  });
}

export function garbageError(peer: string, problem: string, cause?: unknown): GantryError {
  return new GantryError('PEER_PROTOCOL', {
    message: `${peer} violates the protocol: ${problem}`,
    hint: 'If both sides are unmodified, please report this.',
    cause,
  });
}

export function stalledError(peer: string, ms: number, where: readonly string[]): GantryError {
  return new GantryError('PEER_STALLED', {
    message: `nothing came from ${peer} for ${Math.round(ms / 1000)} s`,
    details: where,
    hint: RETRY,
  });
}

/** The other side sends signs of life, but waits although this side waits for it. */
export function idleError(peer: string, ms: number, where: readonly string[]): GantryError {
  return new GantryError('PEER_STALLED', {
    message: `only signs of life came from ${peer} for ${Math.round(ms / 1000)} s: it neither answers nor works`,
    details: where,
    hint: 'End gantry receive there, then move again. If it happens again, please report it.',
  });
}

/** The reason why the other side gave up. */
export function failureError(peer: string, failure: Failure): GantryError {
  const { stage, code, message, hint, disk, details } = failure;
  return new GantryError(knownCode(code) ?? 'PEER_FAILED', {
    message: `on ${peer}, stage ${stage}: ${terminalSafe(message)}`,
    hint: hint === undefined ? undefined : terminalSafe(hint),
    disk,
    details: details.map(terminalSafe),
  });
}

function installThere(peer: string): string {
  const command = copyCommand(peer);
  return command === undefined ? `Install Gantry ${VERSION} there.` : `Install Gantry ${VERSION} there, or copy this one: ${command}`;
}

function lastLines(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .slice(-MAX_LINES)
    .map((line) => terminalSafe(line.slice(0, 300)));
}
