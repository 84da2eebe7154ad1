import { randomBytes } from 'node:crypto';
import type { HostProcess } from '@gantry/transport';
import type { RecordedOwner } from './owner-record.ts';

/*
 * The names of the directories in `.gantry-pending`. Each is the token by which a write is resumed and cleared:
 *
 *     5b0c…e1                                  a write with its record
 *     new-5b0c…e1~PID~START~BOOT~HOST~…        a write that is being started, with its process in the name: its record comes later
 *     gone-5b0c…e1                             a write that is being removed: its record may be gone already
 */

const TOKEN = /^[0-9a-f]{32}$/;

/** Number, start time, boot and host of the process; version 0.1.0 did not write its machine and process namespace. */
const BEGINNING = /^new-[0-9a-f]{32}~(\d+)~(\d*)~([0-9a-f-]*)~([\w.!'()*%-]*)(?:~([0-9a-f]*)~(\d*))?$/;

const REMOVAL = /^gone-[0-9a-f]{32}$/;

/** File systems allow 255 characters for the complete name. */
const MAX_HOST_LENGTH = 100;

export function newToken(): string {
  return randomBytes(16).toString('hex');
}

/** Whether `token` has the form of a directory store's tokens: of a write, or of what a killed process left while starting or removing one. */
export function isToken(token: string): boolean {
  return isWriteToken(token) || isRemoval(token) || BEGINNING.test(token);
}

/** Whether it is the token of a write that is neither being started nor being removed. */
export function isWriteToken(token: string): boolean {
  return TOKEN.test(token);
}

export function isRemoval(token: string): boolean {
  return REMOVAL.test(token);
}

/** The name of a write while it is removed, which shows that no writer uses it even if its record is gone. */
export function removalName(token: string): string {
  return `gone-${token}`;
}

/** The name of a write until it has its record. */
export function beginningName(token: string, owner: HostProcess): string {
  const { host, machine, pidNamespace, bootId, pid, startTime } = owner;
  const [namespace = ''] = /\d+/.exec(pidNamespace) ?? [];
  return `new-${token}~${pid}~${startTime}~${bootId}~${encodeURIComponent(host).slice(0, MAX_HOST_LENGTH)}~${machine}~${namespace}`;
}

/** The process that was starting a write; undefined for other tokens. */
export function starterOf(token: string): RecordedOwner | undefined {
  const [, pid, startTime, bootId, host, machine, namespace] = BEGINNING.exec(token) ?? [];
  if (pid === undefined || startTime === undefined || bootId === undefined || host === undefined) return undefined;
  const process = { pid: Number(pid), startTime: Number(startTime), bootId, host: decodeHost(host) };
  return machine === undefined ? process : { ...process, machine, pidNamespace: namespace === '' ? '' : `pid:[${namespace}]` };
}

function decodeHost(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
