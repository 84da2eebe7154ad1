import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_EXIT_CODES } from '@gantry/core';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/commands.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

async function markdownFiles(): Promise<readonly string[]> {
  const names = await readdir(ROOT, { recursive: true });
  return names.filter((name) => name.endsWith('.md') && !name.includes('node_modules'));
}

/** Every source file that is published. */
async function sourceFiles(): Promise<readonly string[]> {
  const names = await readdir(ROOT, { recursive: true });
  return names.filter((name) => /^(apps|packages)\/[^/]+\/src\/.*(?<!\.test)\.ts$/.test(name) && !name.includes('testkit'));
}

describe('the documentation', () => {
  it('is not what a hint names: who installed Gantry lacks it', async () => {
    const named: string[] = [];
    for (const name of await sourceFiles()) {
      const lines = (await readFile(join(ROOT, name), 'utf8')).split('\n').filter((line) => !/^\s*(\*|\/[/*])/.test(line));
      named.push(...lines.filter((line) => /['"`].*(docs\/|README).*['"`]/.test(line)).map((line) => `${name}: ${line.trim()}`));
    }
    expect(named).toEqual([]);
  });

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
    const text = await readFile(join(ROOT, 'docs', 'reference', 'errors.md'), 'utf8');
    const documented = new Map<string, number>();
    let exitCode = Number.NaN;
    for (const [, exit = '', codes = ''] of text.matchAll(/^\|([^|]*)\|([^|]*)\|/gm)) {
      if (exit.trim() !== '') exitCode = Number(exit.trim());
      for (const [, code = ''] of codes.matchAll(/`([A-Z_]+)`/g)) documented.set(code, exitCode);
    }
    for (const [code, exit] of Object.entries(ERROR_EXIT_CODES)) expect(documented.get(code), code).toBe(exit);
  });

  it.each(COMMANDS)('has a section for gantry $name, with every option', async ({ name, load }) => {
    const text = await readFile(join(ROOT, 'docs', 'reference', 'commands.md'), 'utf8');
    const [word = ''] = name.split(' ');
    expect(text).toMatch(new RegExp(`^## .*gantry (?:${name}|${word}$)`, 'm'));
    expect(text).toContain(`gantry ${name}`);
    const { default: command } = await load();
    for (const { flags } of Object.values(command.options)) {
      const [, long = ''] = /(--[a-z-]+)/.exec(flags) ?? [];
      expect(text, flags).toContain(long);
    }
  });
});
