/* Makes the picture in the README from a real run. To be run as root with `--conditions=@gantry/source`. */
import { readFile, writeFile } from 'node:fs/promises';
import { fiveMinutes, PICTURE, README, record, toSvg } from './recording.ts';

const { instance, commands } = fiveMinutes(await readFile(README, 'utf8'));
const { lines, statuses } = await record(instance, commands, AbortSignal.timeout(300_000));
if (statuses.some((status) => status !== '0')) throw new Error(`not every command succeeded:\n${lines.join('\n')}`);
await writeFile(PICTURE, toSvg(lines));
