import { isDeepStrictEqual } from 'node:util';
import { replaceFile } from '@gantry/core';

/** One measurement. Labels say of what; their values are any text. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A figure that goes up and down, with its samples. */
export interface Figure {
  /** In lower case with underscores, the unit last, as Prometheus has it. */
  readonly name: string;
  readonly unit: '' | 'seconds' | 'bytes';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Who collects it is another user. */
const MODE = 0o644;

/** Figures in the text format of Prometheus (version 0.0.4). */
export function prometheusText(figures: readonly Figure[]): string {
  return figures.map(textOf).join('');
}

function textOf({ name, help, samples }: Figure): string {
  const lines = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\')}\n# TYPE ${name} gauge\n${lines.join('')}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/**
 * Writes the file that the textfile collector of node_exporter reads. Several processes may write it at once:
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
