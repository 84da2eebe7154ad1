import { readFile } from 'node:fs/promises';
import { ADDRESSES } from '../../src/command-line/addresses.ts';
import type { CommandModule } from '../../src/command-line/command.ts';
import { COMMON_OPTIONS, HELP_OPTION } from '../../src/command-line/common-options.ts';
import { wrapExample } from '../../src/command-line/help-text.ts';
import { bySection, sectionOf } from '../../src/command-line/sections.ts';
import type { CommandEntry } from '../../src/commands.ts';
import { COMMANDS } from '../../src/commands.ts';
import { configurationPage } from './configuration.ts';
import { ENVIRONMENT } from './environment.ts';
import { FILES } from './files.ts';
import { fleetPage } from './fleet.ts';
import { fromMarkdown } from './markdown.ts';
import { exitStatus, optionItem, synopsisOf } from './parts.ts';
import { assemble, bold, escape, heading, italic, item, literal, paragraph, references, subheading, title } from './roff.ts';

/** When and of which version the pages are. */
export interface Edition {
  readonly version: string;
  readonly date: Date;
}

const REFERENCE = new URL('../../../../docs/reference/', import.meta.url);

/** Examples are this wide, characters: they are indented, and fit into 80 columns. */
const EXAMPLE_WIDTH = 68;

/** Every manual page, by its file name. */
export async function manualPages(edition: Edition): Promise<ReadonlyMap<string, string>> {
  const reference = await readFile(new URL('commands.md', REFERENCE), 'utf8');
  const entries = bySection(COMMANDS).filter(({ hidden }) => hidden !== true);
  const pages = await Promise.all(
    entries.map(async (entry) => {
      const { default: module } = await entry.load();
      return [`${pageOf(entry.name)}.1`, commandPage(entry, module, detailsOf(reference, entry.name), edition)] as const;
    }),
  );
  const configuration = configurationPage(await readFile(new URL('configuration.md', REFERENCE), 'utf8'), edition);
  return new Map([
    ['gantry.1', overview(entries, edition)],
    ['gantry.yaml.5', configuration],
    ['gantry-fleet.1', fleetPage(edition)],
    ...pages,
  ]);
}

/** The name of a command's page. */
function pageOf(command: string): string {
  return `gantry-${command.replaceAll(' ', '-')}`;
}

/** What the reference says of a command, and of those that it explains together, besides usage and options. */
function detailsOf(reference: string, name: string): string {
  const sections = reference.split(/^(?=## )/m);
  const section = sections.find((text) => text.includes(`<!-- made from the code: gantry ${name} -->`)) ?? '';
  const prose = section.replace(/^## .*\n/, '').replaceAll(/<!-- made from[^]*?<!-- end -->/g, '');
  return prose.replaceAll(/\s*See \[decision[^\]]*\]\([^)]*\)\./g, '');
}

function overview(entries: readonly CommandEntry[], edition: Edition): string {
  const sections = Map.groupBy(entries, ({ name }) => sectionOf(name));
  const lists = [...sections].flatMap(([section, those]) => [subheading(section), those.map(commandItem).join('\n')]);
  return assemble([
    title('gantry', 1, edition),
    heading('NAME'),
    'gantry \\- export, restore and move the disks of virtual machine instances',
    heading('SYNOPSIS'),
    `${bold('gantry')} ${synopsisOf('[options] <command> [argument...]')}`,
    heading('DESCRIPTION'),
    paragraph(
      escape(
        'Gantry exports the disks of virtual machines of Ganeti, KVM and Xen into stores, restores them, and moves them to other machines. Each command has a manual page of its own; gantry help COMMAND shows a command in short.',
      ),
    ),
    heading('COMMANDS'),
    ...lists,
    heading('ARGUMENTS'),
    ...ADDRESSES.map(addressItem),
    heading('OPTIONS'),
    ...[...COMMON_OPTIONS, HELP_OPTION].map(optionItem),
    item(`${bold('-V')}, ${bold('--version')}`, 'output the version number'),
    ...exitStatus(),
    heading('ENVIRONMENT'),
    ...ENVIRONMENT.map(([name, meaning]) => item(bold(name), escape(meaning))),
    heading('FILES'),
    ...FILES.map(([name, meaning]) => item(italic(name), escape(meaning))),
    heading('SEE ALSO'),
    references([...entries.map(({ name }) => `${pageOf(name)}(1)`), 'gantry-fleet(1)', 'gantry.yaml(5)']),
  ]);
}

function commandPage({ name, summary }: CommandEntry, module: CommandModule, details: string, edition: Edition): string {
  const { description = summary, arguments: args, options, examples } = module;
  const specs = Object.values(options);
  const required = specs.filter((spec) => spec.required === true).map(({ flags }) => flags);
  const related = COMMANDS.filter((other) => other.hidden !== true && sectionOf(other.name) === sectionOf(name) && other.name !== name);
  return assemble([
    title(pageOf(name), 1, edition),
    heading('NAME'),
    paragraph(escape(`${pageOf(name)} - ${inName(summary)}`)),
    heading('SYNOPSIS'),
    `${bold(`gantry ${name}`)} ${synopsisOf(['[options]', ...required, ...args].join(' '))}`,
    heading('DESCRIPTION'),
    paragraph(escape(description)),
    ...fromMarkdown(details),
    ...addressesOf([...args, ...specs.map(({ flags }) => flags)]),
    heading('OPTIONS'),
    ...[...specs, ...COMMON_OPTIONS, HELP_OPTION].map(optionItem),
    ...exitStatus(),
    heading('EXAMPLES'),
    ...examples.map((example) => literal(wrapExample(example, EXAMPLE_WIDTH))),
    heading('SEE ALSO'),
    references(['gantry(1)', ...related.map((other) => `${pageOf(other.name)}(1)`)]),
  ]);
}

function commandItem({ name, summary }: CommandEntry): string {
  return item(`${bold(pageOf(name))}(1)`, escape(summary));
}

/** What apropos(1) shows in one line. */
function inName(summary: string): string {
  return `${summary.charAt(0).toLowerCase()}${summary.slice(1)}`.replace(/\.$/, '');
}

/** What the words in the brackets of arguments and options stand for. */
function addressesOf(specs: readonly string[]): readonly string[] {
  const used = ADDRESSES.filter(([word]) => specs.some((spec) => new RegExp(`[<[]${word}[\\]>.]`).test(spec)));
  return used.length === 0 ? [] : [heading('ARGUMENTS'), ...used.map(addressItem)];
}

function addressItem([word, meaning]: (typeof ADDRESSES)[number]): string {
  return item(italic(word), escape(meaning));
}
