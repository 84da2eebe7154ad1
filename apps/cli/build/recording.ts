/*
 * A picture of the README's five minutes: the commands run for real, on a terminal of tmux, and what its screen shows at the end becomes an
 * SVG. They run in a mount namespace of their own, so that the README's paths are below an empty `/srv` and nothing of this machine is touched.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export const README: string = join(ROOT, 'README.md');
export const PICTURE: string = join(ROOT, 'docs', 'five-minutes.svg');

const COLUMNS = 92;
const ROWS = 60;
/** How often the screen is looked at, ms. */
const LOOK_MS = 100;

export interface Recording {
  /** The lines of the screen; those with a command begin with {@link PROMPT}. */
  readonly lines: readonly string[];
  /** The exit status of each command. */
  readonly statuses: readonly string[];
}

export const PROMPT = '$ ';

/** The instance file and the commands of the README's five minutes, up to the first that needs another machine or a bucket. */
export function fiveMinutes(readme: string): { readonly instance: string; readonly commands: readonly string[] } {
  const section = readme.slice(readme.indexOf('## Five minutes'));
  const instance = /```yaml\n([^]*?)```/.exec(section)?.[1];
  const block = /```sh\n([^]*?)```/.exec(section)?.[1];
  if (instance === undefined || block === undefined) throw new Error('the README has no five minutes');
  const commands = block.split('\n').map((line) => line.replace(/ +#.*$/, ''));
  const local = commands.findIndex((command) => !command.startsWith('gantry ') || command.includes('://'));
  return { instance, commands: commands.slice(0, local) };
}

/**
 * Runs the commands on a terminal, and says yes to the question of an import. Needs root (for the namespace), `tmux` and `unshare`.
 *
 * @throws DOMException when `signal` is aborted
 */
export async function record(instance: string, commands: readonly string[], signal: AbortSignal): Promise<Recording> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-recording-'));
  const tmux = async (...args: readonly string[]): Promise<string> => {
    const command = ['-S', join(directory, 'tmux'), '-f', '/dev/null', ...args];
    return (await execa('tmux', command, { env: { LC_ALL: 'C.UTF-8' }, cancelSignal: signal })).stdout;
  };
  try {
    await writeFile(join(directory, 'web1.yaml'), instance);
    await writeFile(join(directory, 'web2.yaml'), instance.replaceAll('web1', 'web2'));
    await writeFile(join(directory, 'run'), runScript(directory, commands));
    const size = ['-x', String(COLUMNS), '-y', String(ROWS)];
    await tmux('new-session', '-d', ...size, `exec unshare --mount --propagation private sh '${join(directory, 'run')}'`);
    let answered = false;
    for (;;) {
      signal.throwIfAborted();
      const text = await tmux('capture-pane', '-p');
      const ended = await readFile(join(directory, 'ended'), 'utf8').catch(() => undefined);
      if (ended !== undefined)
        return { lines: (await tmux('capture-pane', '-p')).trimEnd().split('\n'), statuses: ended.trim().split('\n') };
      if (!answered && text.includes('(yes or no)')) {
        answered = true;
        await tmux('send-keys', 'yes', 'Enter');
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } finally {
    await execa('tmux', ['-S', join(directory, 'tmux'), 'kill-server'], { reject: false });
    await rm(directory, { recursive: true });
  }
}

/** What the terminal runs: the commands, each after a prompt; their exit statuses are in the file `ended` when all have ended. */
function runScript(directory: string, commands: readonly string[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const steps = commands.map((command) => `printf '%s\\n' ${quote(PROMPT + command)}\n${command}\necho $? >>statuses\necho`);
  return [
    `cd ${quote(directory)}`,
    'mount -t tmpfs tmpfs /srv && mkdir /srv/disks && export GANTRY_STATE_DIR=/srv/state',
    'truncate -s 64M /srv/disks/web1-0.img /srv/disks/web2-0.img',
    'dd if=/dev/urandom of=/srv/disks/web1-0.img bs=1M count=12 seek=9 conv=notrunc status=none',
    `gantry() { ${[process.execPath, '--conditions=@gantry/source', MAIN].map(quote).join(' ')} "$@"; }`,
    'clear',
    ...steps,
    'mv statuses ended; exec sleep 1000',
    '',
  ].join('\n');
}

const [CHARACTER, LINE, MARGIN] = [8.43, 20, 16];

const FIVE_MINUTES = { columns: COLUMNS, title: 'An export, a list, a verification and an import on a terminal' };

/** The screen as a picture. */
export function toSvg(lines: readonly string[], { columns, title } = FIVE_MINUTES): string {
  const [width, height] = [Math.ceil(columns * CHARACTER) + 2 * MARGIN, lines.length * LINE + 2 * MARGIN];
  const texts = lines.flatMap((line, index) =>
    line === ''
      ? []
      : [
          `<text x="${MARGIN}" y="${MARGIN + index * LINE + 15}"${line.startsWith(PROMPT) ? ' class="command"' : ''}>${escapeXml(line)}</text>`,
        ],
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${title}</title>`,
    '<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d7dce2;white-space:pre}.command{fill:#fff;font-weight:bold}</style>',
    `<rect width="${width}" height="${height}" rx="8" fill="#1d2329"/>`,
    ...texts,
    '</svg>',
    '',
  ].join('\n');
}

/** The lines of a picture that {@link toSvg} made, without those that are empty. */
export function textOf(svg: string): readonly string[] {
  const lines = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, line = '']) => line);
  return lines.map((line) => line.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'));
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
