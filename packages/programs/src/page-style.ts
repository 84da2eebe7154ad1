/** The style that pages share. Each pair of colours has a contrast of 4.5 to 1 or more, in the light and in the dark. */
export const PAGE_STYLE: string = `
:root { color-scheme: light dark; --page: #ffffff; --card: #f4f6f8; --text: #1c2430; --quiet: #4d5a6b; --line: #d3dae2;
  --good: #0b6e4f; --busy: #2f5fb3; --bad: #b3261e; --doubtful: #6b5b00; --focus: #1a56db; }
@media (prefers-color-scheme: dark) { :root { --page: #12171d; --card: #1b222b; --text: #e4e9ef; --quiet: #a6b2c0; --line: #36414e;
  --good: #58c99b; --busy: #8db4ff; --bad: #ff8a80; --doubtful: #e3c94f; --focus: #8db4ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 16px; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; max-width: 70ch; } .quiet { color: var(--quiet); }
:is(a, button, input, summary, .scroll):focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.skip { position: absolute; left: -999px; } .skip:focus { position: static; }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 12px; margin: 1rem 0; }
dl.figures div { display: flex; flex-direction: column; justify-content: space-between; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
dt { color: var(--quiet); font-size: .85rem; } dd { margin: 0; font-size: 1.3rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
th.name { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; } td.number, th.number { text-align: right; }
thead th { color: var(--quiet); font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: 6px 0; } summary { cursor: pointer; padding: 4px; overflow-wrap: anywhere; }
.reason { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
`;
