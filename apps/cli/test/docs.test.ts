import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_EXIT_CODES } from '@gantry/core';
import { describe, expect, it } from 'vitest';
import { makeWorkbench } from './workbench.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

async function markdownFiles(): Promise<readonly string[]> {
  const names = await readdir(ROOT, { recursive: true });
  return names.filter((name) => name.endsWith('.md') && !name.includes('node_modules'));
}

describe('the documentation', () => {
  it('has no link to a page or file that is not there', async () => {
    const broken: string[] = [];
    for (const name of await markdownFiles()) {
      const text = await readFile(join(ROOT, name), 'utf8');
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)) {
        await stat(join(ROOT, dirname(name), target)).catch(() => broken.push(`${name}: ${target}`));
      }
    }
    expect(broken).toEqual([]);
  });

  it('says of every error code what it means, beside the exit code that it has', async () => {
    const text = await readFile(join(ROOT, 'docs', 'errors.md'), 'utf8');
    const documented = new Map<string, number>();
    let exitCode = Number.NaN;
    for (const [, exit = '', codes = ''] of text.matchAll(/^\|([^|]*)\|([^|]*)\|/gm)) {
      if (exit.trim() !== '') exitCode = Number(exit.trim());
      for (const [, code = ''] of codes.matchAll(/`([A-Z_]+)`/g)) documented.set(code, exitCode);
    }
    for (const [code, exit] of Object.entries(ERROR_EXIT_CODES)) expect(documented.get(code), code).toBe(exit);
  });

  it('has a section for every command, with every option that its help shows', async () => {
    const text = await readFile(join(ROOT, 'docs', 'commands.md'), 'utf8');
    await using bench = await makeWorkbench();
    const { stdout } = await bench.gantry('--help');
    const commands = [...stdout.matchAll(/^ {2}([a-z]+)[ |]/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
    expect(commands.length).toBeGreaterThan(10);
    for (const command of commands) {
      expect(text, command).toMatch(new RegExp(`^## .*gantry ${command}`, 'm'));
      const help = await bench.gantry(command, '--help');
      for (const [, option = ''] of help.stdout.matchAll(/ (--[a-z-]+)/g)) {
        if (option !== '--help') expect(text.includes(option), `${command} ${option}`).toBe(true);
      }
    }
  });
});
