/* A process for tests of kills: makes the process of a program that never may begin, says its number, and stays until it is killed. */
import { spawnGated } from '../../src/system/gated-process.ts';

const [program = '', ...parameters] = process.argv.slice(2);
const { group } = await spawnGated([program, ...parameters], { cwd: '/', environment: {}, stdio: ['ignore', 'ignore', 'ignore'] });
console.log(group.pgid);
setInterval(() => {}, 1_000_000);
