import { open } from 'node:fs/promises';

import { GantryError } from '../report/errors.ts';
import type { ProcessEnd } from '../system/gated-process.ts';
import type { ScriptName } from './definition.ts';

/** Identifies the script that an error is about. */
export interface ScriptIdentity {
  readonly script: ScriptName;
  /** The definition's name. */
  readonly os: string;
  readonly path: string;
  readonly disk: number | undefined;
}

/** Only status 0 is success. */
export function succeeded(exit: ProcessEnd): boolean {
  return 'status' in exit && exit.status === 0;
}

/** Such as `the export script of debootstrap (disk 0)`. */
export function describeScript({ script, os, disk }: ScriptIdentity): string {
  return `the ${script} script of ${os}${disk === undefined ? '' : ` (disk ${String(disk)})`}`;
}

/** What a script wrote for the user. */
export interface LastLines {
  /** Its last lines. */
  readonly messages: readonly string[];
  /** Lines that an export script wrote to stdout, where its data belongs. */
  readonly onStdout: readonly string[];
}

/** The error for an exit; undefined for success. */
export function exitError(identity: ScriptIdentity, exit: ProcessEnd, { messages, onStdout }: LastLines): GantryError | undefined {
  const details = [...messages, ...onStdout];
  if ('signal' in exit) {
    return new GantryError('SCRIPT_SIGNALLED', {
      message: `${describeScript(identity)} was killed by ${exit.signal}`,
      details,
      disk: identity.disk,
      hint: 'It was not Gantry that killed it: look for crashes and lack of memory in the log of the machine.',
    });
  }
  if (exit.status === 0) return undefined;
  return new GantryError('SCRIPT_FAILED', {
    message: `${describeScript(identity)} failed with exit status ${String(exit.status)}`,
    details,
    disk: identity.disk,
    hint:
      details.length === 0
        ? `It wrote no message: see where ${identity.path} exits with that status.`
        : 'The lines below the message are the last that the script wrote.',
  });
}

/** The import script ended, or closed its stdin, before the end of its data. */
export function closedInputError(identity: ScriptIdentity, messages: readonly string[]): GantryError {
  return new GantryError('SCRIPT_CLOSED_INPUT', {
    message: `${describeScript(identity)} stopped reading before the end of its data`,
    details: messages,
    disk: identity.disk,
    hint: 'The disk may be incomplete. A script that needs only the first part must read the rest too, for example with "cat >/dev/null".',
  });
}

/** The export script succeeded, but its stdout stays open. */
export function heldOpenError(identity: ScriptIdentity, messages: readonly string[]): GantryError {
  return new GantryError('SCRIPT_FAILED', {
    message: `${describeScript(identity)} ended, but a process that it left behind keeps its stdout open, so that its data may be incomplete`,
    details: messages,
    disk: identity.disk,
    hint: `Add ">/dev/null" to what ${identity.path} starts in the background.`,
  });
}

/** The script could not be started. @param cause the error of spawning; must not contain the environment */
export async function startError(identity: ScriptIdentity, cause: unknown): Promise<GantryError> {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  return new GantryError('SCRIPT_START', {
    message: `${describeScript(identity)} could not be started: ${identity.path}: ${code}`,
    disk: identity.disk,
    hint: await startHint(identity.path, code),
    cause,
  });
}

async function startHint(path: string, code: string): Promise<string> {
  switch (code) {
    case 'ENOENT': {
      const interpreter = await readInterpreter(path);
      return interpreter === undefined
        ? 'The script or its directory no longer exists.'
        : `Its first line names the interpreter ${interpreter}: check that it is installed, and that the line does not end with a carriage return.`;
    }
    case 'EACCES':
      return 'Check that you may execute it and its interpreter, and that its file system is not mounted with noexec.';
    case 'ETXTBSY':
      return 'Another process has the script open for writing: try again later.';
    case 'E2BIG':
      return 'The description of the instance is too long for an environment; one value may have 128 KiB. Shorten its parameters.';
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
    case 'ENFILE':
      return 'The machine is short of memory, processes or open files: see ulimit -a.';
    default:
      return 'Check that the script can be run by hand.';
  }
}

/** The interpreter after `#!`, as JSON so that odd characters are visible; undefined where the script cannot be read. */
async function readInterpreter(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0);
    const [, interpreter] = /^#![ \t]*([^ \t\n]+)/.exec(buffer.toString('latin1', 0, bytesRead)) ?? [];
    return interpreter === undefined ? undefined : JSON.stringify(interpreter);
  } catch {
    return undefined;
  }
}
