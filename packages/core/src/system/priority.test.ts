import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** In a process of its own: it does not rise again. */
function inProcess(code: string): unknown {
  const program = `
    import { readdirSync } from 'node:fs';
    import { stat } from 'node:fs/promises';
    import { getPriority } from 'node:os';
    import { execFileSync } from 'node:child_process';
    import { lowerPriority } from ${JSON.stringify(fileURLToPath(new URL('priority.ts', import.meta.url)))};
    await stat('/');
    const threads = () => readdirSync('/proc/self/task').map(Number);
    const ioOf = (pid) => execFileSync('ionice', ['-p', String(pid)], { encoding: 'utf8' }).trim();
    console.log(JSON.stringify((() => { ${code} })()));`;
  const text = execFileSync(process.execPath, ['--conditions=@gantry/source', '--input-type=module', '-e', program], { encoding: 'utf8' });
  return JSON.parse(text);
}

test('every thread of the process gets the priority, and what it starts', () => {
  const found = inProcess(`
    lowerPriority({ nice: 7, io: 'idle' });
    const nice = threads().map((thread) => getPriority(thread));
    return {
      threads: nice.length,
      nice: [...new Set(nice)],
      io: [...new Set(threads().map(ioOf))],
      child: execFileSync('sh', ['-c', 'nice; ionice -p $$'], { encoding: 'utf8' }),
    };`);
  expect(found).toEqual({ threads: expect.any(Number), nice: [7], io: ['idle'], child: '7\nidle\n' });
  expect(found).toMatchObject({ threads: expect.toSatisfy((count: number) => count > 2) });
});

test('a priority that is lower already stays', () => {
  expect(inProcess(`lowerPriority({ nice: 9 }); lowerPriority({ nice: 3 }); return getPriority();`)).toBe(9);
});

test('best-effort is the lowest of its class', () => {
  expect(inProcess(`lowerPriority({ io: 'best-effort' }); return ioOf(process.pid);`)).toBe('best-effort: prio 7');
});

test('this process is not changed by it', () => {
  expect(readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread)) < 7)).not.toContain(false);
});
