import { randomBytes } from 'node:crypto';
import type { HostProcess } from '@gantry/transport';
import type { RecordedOwner } from './owner-record.ts';

/*
 * The names of the directories in `.gantry-pending`. Each is a token, with which a write is resumed and cleared:
 *
 *     5b0c…e1                                  a write, with its record
 *     new-5b0c…e1~PID~START~BOOT~HOST~…        one that is being begun, named after the process that does it: its record comes later
 *     gone-5b0c…e1                             one that is being removed: its record may be gone already
 */

const TOKEN = /^[0-9a-f]{32}$/;

/** Number, start time, boot and host of the process; its machine and process namespace were not written by version 0.1.0. */
const BEGINNING = /^new-[0-9a-f]{32}~(\d+)~(\d*)~([0-9a-f-]*)~([\w.!'()*%-]*)(?:~([0-9a-f]*)~(\d*))?$/;

const REMOVAL = /^gone-[0-9a-f]{32}$/;

/** Of 255 that a file system allows, so that all the rest has room. */
const MAX_HOST_LENGTH = 100;

export function newToken(): string {
  return randomBytes(16).toString('hex');
}

/** Whether `token` can be one of a directory store's: that of a write, or of what a killed process left at its very beginning or end. */
export function isToken(token: string): boolean {
  return isWriteToken(token) || isRemoval(token) || BEGINNING.test(token);
}

/** Whether it is the token of a write that was begun, and not of its very beginning or end. */
export function isWriteToken(token: string): boolean {
  return TOKEN.test(token);
}

export function isRemoval(token: string): boolean {
  return REMOVAL.test(token);
}

/** What a write is called while it is removed: so the name says that nobody is at work on it, even when its record is gone. */
export function removalName(token: string): string {
  return `gone-${token}`;
}

/** What a write is called until its record is in it. */
export function beginningName(token: string, owner: HostProcess): string {
  const { host, machine, pidNamespace, bootId, pid, startTime } = owner;
  const [namespace = ''] = /\d+/.exec(pidNamespace) ?? [];
  return `new-${token}~${pid}~${startTime}~${bootId}~${encodeURIComponent(host).slice(0, MAX_HOST_LENGTH)}~${machine}~${namespace}`;
}

/** Who was beginning a write; undefined for a token that does not say. */
export function beginnerOf(token: string): RecordedOwner | undefined {
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
