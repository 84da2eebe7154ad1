import { isDeepStrictEqual } from 'node:util';
import { replaceFile } from '@gantry/core';
import type { Figure } from './figures.ts';

/** Who collects it is another user. */
const MODE = 0o644;

/** Figures in the text format of Prometheus (version 0.0.4). */
function prometheusText(figures: readonly Figure[]): string {
  return figures.map(textOf).join('');
}

function textOf({ name, help, samples }: Figure): string {
  const lines = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}{${pairs.join(',')}} ${value}\n`;
  });
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\')}\n# TYPE ${name} gauge\n${lines.join('')}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/**
 * Writes the file that the textfile collector of node_exporter reads, for all policies together. Runs of two policies may end at once:
 * what was written is compared with what is true after that, so the last one to write has seen everything.
 *
 * @throws what the file system fails with
 */
export async function writeTextfile(path: string, figures: () => Promise<readonly Figure[]>): Promise<void> {
  let written: readonly Figure[] | undefined;
  for (;;) {
    const current = await figures();
    if (isDeepStrictEqual(current, written)) return;
    await replaceFile(path, prometheusText(current), MODE);
    written = current;
  }
}
