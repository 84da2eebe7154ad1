import { PassThrough } from 'node:stream';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { createOutput } from '../../../fleet/src/command-line/output.ts';
// @boundaries-ignore what makes the packages serves both commands, and is published with none
import { createProgram } from '../../../fleet/src/command-line/program.ts';
import type { Edition } from './pages.ts';
import { exitStatus, optionItem, synopsisOf } from './parts.ts';
import { assemble, bold, escape, heading, italic, item, paragraph, references, subheading, title } from './roff.ts';

/** gantry-fleet(1): what its help says, of all commands in one page. */
export function fleetPage(edition: Edition): string {
  return assemble([
    title('gantry-fleet', 1, edition),
    heading('NAME'),
    'gantry\\-fleet \\- run the policies of gantry on many nodes',
    heading('SYNOPSIS'),
    `${bold('gantry-fleet')} ${synopsisOf('<command> [options] [argument...]')}`,
    heading('DESCRIPTION'),
    ...DESCRIPTION.map((text) => paragraph(escape(text))),
    heading('COMMANDS'),
    ...commands(),
    ...exitStatus(),
    heading('ENVIRONMENT'),
    ...ENVIRONMENT.map(([name, meaning]) => item(bold(name), escape(meaning))),
    heading('FILES'),
    ...FILES.map(([name, meaning]) => item(italic(name), escape(meaning))),
    heading('SEE ALSO'),
    references(['gantry(1)', 'gantry-run(1)', 'gantry.yaml(5)']),
  ]);
}

const DESCRIPTION = [
  'A planner decides which exports the policies in gantry.yaml that have a window need, and when. The agent of each node makes those of its own instances, by gantry run. A queue in PostgreSQL is between them; on one machine, the agent does all of it, with a queue of its own.',
  'The units gantry-fleet-agent.service, gantry-fleet-planner.service and gantry-fleet-web.service of systemd are not switched on. gantry-fleet help COMMAND shows a command in short.',
];

/** Variables that it reads besides those of gantry(1). */
const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['GANTRY_FLEET_DATABASE', 'the address of the database of the fleet, without a password'],
  ['GANTRY_FLEET_NODE', 'the name of this node; by default that of the host'],
  ['PGPASSFILE, PGPASSWORD, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY', 'as programs of PostgreSQL read them'],
];

const FILES: readonly (readonly [name: string, meaning: string])[] = [
  ['/etc/gantry/fleet.env', 'variables for the three units, each NAME=VALUE in a line'],
  [
    '/etc/gantry/fleet-agent.env, /etc/gantry/fleet-planner.env, /etc/gantry/fleet-web.env',
    'the same for one unit, which wins; options of its command are GANTRY_FLEET_AGENT_OPTIONS, GANTRY_FLEET_PLANNER_OPTIONS, GANTRY_FLEET_WEB_OPTIONS',
  ],
  ['/etc/gantry/fleet-password', 'the password file of the pages'],
  ['/var/lib/gantry/fleet', 'the ledger of the agent, and the queue of one machine'],
];

/** Each command with its options. Nothing is called: what they would use is not there. */
function commands(): readonly string[] {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const output = createOutput({ json: false, stdout, stderr });
  const program = createProgram({ env: {}, cwd: '/', signal: AbortSignal.abort(), stdin, output, exitWith: () => undefined });
  return program.commands.flatMap(commandParts);
}

type FleetCommand = ReturnType<typeof createProgram>['commands'][number];

function commandParts(command: FleetCommand): readonly string[] {
  const usage = command.usage().replaceAll(/[<>]/g, '');
  const options = command.options.map(({ flags, description, mandatory, defaultValue }) => {
    const byDefault: unknown = defaultValue;
    return optionItem({ flags, description, required: mandatory, default: byDefault });
  });
  return [subheading(`gantry-fleet ${command.name()} ${usage}`), paragraph(escape(command.description())), ...options];
}
