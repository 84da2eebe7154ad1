import { readFile } from 'node:fs/promises';

/** As whom a process opens files (proc_pid_status(5), the last of four numbers). @throws where it is gone */
export async function procOwner(pid: number): Promise<{ readonly uid: number; readonly gid: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const numberOf = (name: string): number => Number(new RegExp(String.raw`^${name}:(?:\s+\d+){3}\s+(\d+)$`, 'm').exec(status)?.[1] ?? 0);
  return { uid: numberOf('Uid'), gid: numberOf('Gid') };
}
