import { isListed } from '../instance-filter.ts';
import type { InstanceFilter } from '../inventory.ts';
import type { Check, Fixture } from './fixture.ts';
import { expect, names } from './fixture.ts';

/** A list with `filter` must be the whole list, filtered. */
async function expectFiltered({ source, summaries }: Fixture, filter: InstanceFilter): Promise<void> {
  const wanted = names(summaries.filter((summary) => isListed(summary, filter)));
  const got = names(await Array.fromAsync(source.list(filter)));
  expect(got === wanted, `with ${JSON.stringify(filter)}: "${wanted}" was expected, got "${got}"`);
}

export const listing: readonly Check[] = [
  {
    title: 'each instance once, by name',
    check: async ({ summaries }) => {
      const all = summaries.map(({ name }) => name);
      const twice = all.find((name, index) => all.indexOf(name) !== index);
      expect(twice === undefined, `${twice ?? ''} was listed twice`);
      expect(!all.includes(''), 'an instance without a name was listed');
    },
  },
  {
    title: 'the same from a second call',
    check: async ({ source, summaries }) => {
      const again = names(await Array.fromAsync(source.list()));
      expect(again === names(summaries), `"${names(summaries)}" at first, then "${again}"`);
    },
  },
  {
    title: 'patterns: any of them, with * for anything, over the whole name',
    check: async (fixture) => {
      const [{ name } = { name: '' }, second] = fixture.summaries;
      const half = name.slice(0, Math.ceil(name.length / 2));
      for (const patterns of [
        [],
        ['*'],
        [name],
        [half],
        [`${half}*`],
        [`*${name.slice(1)}`],
        [`*${name.slice(1, -1)}*`],
        [name, second?.name ?? ''],
        ['no-such-instance', '.*', '[a-z]*', '?'],
        [name.toUpperCase()],
      ]) {
        await expectFiltered(fixture, { patterns });
      }
    },
  },
  {
    title: 'tags: all of them, whole',
    check: async (fixture) => {
      const tags = [...new Set(fixture.summaries.flatMap((summary) => summary.tags))].slice(0, 4);
      await expectFiltered(fixture, { tags: ['no-such-tag'] });
      await expectFiltered(fixture, { tags });
      for (const tag of tags) {
        await expectFiltered(fixture, { tags: [tag] });
        await expectFiltered(fixture, { tags: [tag.slice(0, -1), tag] });
        await expectFiltered(fixture, { tags: [tag], patterns: ['no-such-instance'] });
      }
    },
  },
  {
    title: 'a list that is left early leaves the source usable',
    check: async ({ source, summaries }) => {
      for await (const _first of source.list()) break;
      const again = names(await Array.fromAsync(source.list()));
      expect(again === names(summaries), `then "${again}" was listed`);
    },
  },
  {
    title: 'no secret in the list or the address',
    check: async ({ source, summaries, secrets }) => {
      const said = JSON.stringify([source.address, summaries]);
      expect(!secrets.some((secret) => said.includes(secret)), 'a secret is in the list or the address');
    },
  },
];
