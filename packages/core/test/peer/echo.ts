import process from 'node:process';
import { standardChannel } from '../../src/peer/standard-channel.ts';

/** Sends back what comes through standard input, in spite of others who use it and standard output too. */
await using channel = standardChannel('the test');
process.stdin.resume();
console.log('a line that somebody prints');
for await (const chunk of channel.input) await channel.write([Buffer.from(chunk)]);
