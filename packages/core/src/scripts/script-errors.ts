import { open } from 'node:fs/promises';

import { GantryError } from '../report/errors.ts';
import type { ProcessEnd } from '../system/gated-process.ts';
import type { ScriptName } from './definition.ts';

/** Which script an error is about. */
export interface ScriptIdentity {
  readonly script: ScriptName;
  /** The definition's name. */
  readonly os: string;
  readonly path: string;
  readonly disk: number | undefined;
}

/** Success is status 0 and nothing else. */
export function succeeded(exit: ProcessEnd): boolean {
  return 'status' in exit && exit.status === 0;
}

/** Such as `the export script of debootstrap (disk 0)`. */
export function describeScript({ script, os, disk }: ScriptIdentity): string {
  return `the ${script} script of ${os}${disk === undefined ? '' : ` (disk ${String(disk)})`}`;
}

/** What a script wrote for the user. */
export interface LastWords {
  /** Its last lines. */
  readonly messages: readonly string[];
  /** Lines that an export script wrote to stdout, where its data belongs. */
  readonly onStdout: readonly string[];
}

/** The error for an exit; undefined for success. */
export function exitError(identity: ScriptIdentity, exit: ProcessEnd, { messages, onStdout }: LastWords): GantryError | undefined {
  const details = [...messages, ...onStdout];
  if ('signal' in exit) {
    return new GantryError('SCRIPT_SIGNALLED', {
      message: `${describeScript(identity)} was killed by ${exit.signal}`,
      details,
      disk: identity.disk,
      hint: 'Something other than Gantry ended it: look into the log of the machine for crashes and for lack of memory.',
    });
  }
  if (exit.status === 0) return undefined;
  return new GantryError('SCRIPT_FAILED', {
    message: `${describeScript(identity)} failed with exit status ${String(exit.status)}`,
    details,
    disk: identity.disk,
    hint:
      details.length === 0
        ? `It gave no message: see what ends ${identity.path} with that status.`
        : 'The lines with it are the last that the script wrote.',
  });
}

/** The import script ended, or closed its stdin, although there was more for it. */
export function closedInputError(identity: ScriptIdentity, messages: readonly string[]): GantryError {
  return new GantryError('SCRIPT_CLOSED_INPUT', {
    message: `${describeScript(identity)} stopped reading before it had all of its data`,
    details: messages,
    disk: identity.disk,
    hint: 'The disk may be incomplete. A script that needs only the first part has to read the rest too, for example with "cat >/dev/null".',
  });
}

/** The export script succeeded, but its data has no end. */
export function heldOpenError(identity: ScriptIdentity, messages: readonly string[]): GantryError {
  return new GantryError('SCRIPT_FAILED', {
    message: `${describeScript(identity)} ended, but a process that it left behind holds its stdout open, so that the end of its data is not known`,
    details: messages,
    disk: identity.disk,
    hint: `What ${identity.path} starts in the background must not keep its stdout: add ">/dev/null" there.`,
  });
}

/** The system refused to run the script. @param cause what spawning failed with; it must hold no environment */
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
        ? 'The script or its directory has gone.'
        : `Its first line names the interpreter ${interpreter}: see that this is installed, and that the line does not end with a carriage return.`;
    }
    case 'EACCES':
      return 'See that you may execute it and its interpreter, and that its file system is not mounted with noexec.';
    case 'ETXTBSY':
      return 'Somebody is writing the script at this moment: try again when that is done.';
    case 'E2BIG':
      return 'What the instance says of itself is too long for an environment: one value has room for 128 KiB. Shorten its parameters.';
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
    case 'ENFILE':
      return 'The machine lacks memory, processes or open files: see ulimit -a.';
    default:
      return 'See that the script can be run by hand.';
  }
}

/** What stands behind `#!`, written out as JSON so that odd characters show; undefined where the script cannot be read. */
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
