import { readFile } from 'node:fs/promises';

/** A system call as strace(1) tells of it. */
export interface SystemCall {
  readonly pid: number;
  readonly name: string;
  /** As strace writes them: descriptors with what they lead to, such as `3</srv/disk.img>`. */
  readonly parameters: string;
  /** What it returned, and the name of the error: `-1 EIO (Input/output error)`; `?` where it never did. */
  readonly result: string;
  /** Places in the order of all that happened: where the call began, and where it was over. */
  readonly began: number;
  readonly ended: number;
}

export interface StraceOptions {
  /** Where the record goes, for {@link readSystemCalls}. */
  readonly record: string;
  /** Names of system calls. */
  readonly calls: readonly string[];
  /** These calls on this path fail without being made. Nothing else is then recorded. */
  readonly fail?: { readonly call: string; readonly path: string; readonly error: 'EIO' | 'ENOSPC' | 'EDQUOT' };
}

/** What stands before a command to record the system calls that it and all processes it starts make. Needs the Debian package strace. */
export function strace({ record, calls, fail }: StraceOptions): readonly [string, ...string[]] {
  const injection = fail === undefined ? [] : ['-P', fail.path, '-e', `inject=${fail.call}:error=${fail.error}`];
  const trace = ['-e', `trace=${calls.join(',')}`, '-e', 'signal=none', ...injection];
  return ['strace', '-f', '--seccomp-bpf', '-qq', '-y', '-s', '1024', ...trace, '-o', record, '--'];
}

const WHOLE = /^(\d+) +(\w+)\((.*)\) += (.+)$/;
const BEGUN = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.+)$/;

/** Reads what strace recorded, in the order in which the calls began. */
export async function readSystemCalls(record: string): Promise<readonly SystemCall[]> {
  const calls: SystemCall[] = [];
  const begun = new Map<string, number>();
  for (const [at, line] of (await readFile(record, 'utf8')).split('\n').entries()) {
    const [, pid = '', name = '', parameters = '', result = '?'] = WHOLE.exec(line) ?? BEGUN.exec(line) ?? [];
    if (name !== '') {
      if (result === '?') begun.set(`${pid} ${name}`, calls.length);
      calls.push({ pid: Number(pid), name, parameters, result, began: at, ended: at });
      continue;
    }
    const [, thread, resumed, rest = '', outcome = ''] = RESUMED.exec(line) ?? [];
    const place = begun.get(`${thread} ${resumed}`);
    const call = place === undefined ? undefined : calls[place];
    if (place === undefined || call === undefined) continue;
    calls[place] = { ...call, parameters: call.parameters + rest, result: outcome, ended: at };
  }
  return calls;
}
