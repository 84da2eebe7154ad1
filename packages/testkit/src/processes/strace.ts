import { readFile } from 'node:fs/promises';

/** A system call in the output of strace(1). */
export interface SystemCall {
  readonly pid: number;
  readonly name: string;
  /** In the form of strace: descriptors with their paths, such as `3</srv/disk.img>`. */
  readonly parameters: string;
  /** The return value, and the name of an error: `-1 EIO (Input/output error)`; `?` if it never returned. */
  readonly result: string;
  /** The positions of the start and the end of the call in the order of all events. */
  readonly began: number;
  readonly ended: number;
}

export interface StraceOptions {
  /** The file for the record, for {@link readSystemCalls}. */
  readonly record: string;
  /** Names of system calls. */
  readonly calls: readonly string[];
  /** This call fails on this path without being made. Nothing else is then recorded. */
  readonly fail?: { readonly call: string; readonly path: string; readonly error: 'EIO' | 'ENOSPC' | 'EDQUOT' };
}

/** The prefix of a command that records the system calls of it and of its children. Needs the Debian package strace. */
export function strace({ record, calls, fail }: StraceOptions): readonly [string, ...string[]] {
  const injection = fail === undefined ? [] : ['-P', fail.path, '-e', `inject=${fail.call}:error=${fail.error}`];
  const trace = ['-e', `trace=${calls.join(',')}`, '-e', 'signal=none', ...injection];
  return ['strace', '-f', '--seccomp-bpf', '-qq', '-y', '-s', '1024', ...trace, '-o', record, '--'];
}

const COMPLETE = /^(\d+) +(\w+)\((.*)\) += (.+)$/;
const UNFINISHED = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.+)$/;

/** Reads the record of strace, in the order in which the calls started. */
export async function readSystemCalls(record: string): Promise<readonly SystemCall[]> {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, number>();
  for (const [at, line] of (await readFile(record, 'utf8')).split('\n').entries()) {
    const [, pid = '', name = '', parameters = '', result = '?'] = COMPLETE.exec(line) ?? UNFINISHED.exec(line) ?? [];
    if (name !== '') {
      if (result === '?') unfinished.set(`${pid} ${name}`, calls.length);
      calls.push({ pid: Number(pid), name, parameters, result, began: at, ended: at });
      continue;
    }
    const [, thread, resumed, rest = '', outcome = ''] = RESUMED.exec(line) ?? [];
    const index = unfinished.get(`${thread} ${resumed}`);
    const call = index === undefined ? undefined : calls[index];
    if (index === undefined || call === undefined) continue;
    calls[index] = { ...call, parameters: call.parameters + rest, result: outcome, ended: at };
  }
  return calls;
}
