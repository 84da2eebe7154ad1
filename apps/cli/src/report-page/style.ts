import { PAGE_STYLE } from '@gantry/programs';

/** The style of the report: that of all pages, and what its charts need. */
export const STYLE: string = `${PAGE_STYLE}
:root { --verified: var(--good); --unverified: var(--busy); --damaged: var(--bad); --unfinished: var(--doubtful);
  --series0: #2f5fb3; --series1: #b35900; --series2: #0b6e4f; --series3: #7b3fa0; }
@media (prefers-color-scheme: dark) { :root { --series0: #8db4ff; --series1: #ffb366; --series2: #58c99b; --series3: #d3a4f2; } }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; margin: .5rem 0; font-size: .9rem; }
ul.legend svg { width: 26px; height: 14px; vertical-align: -2px; }
figure { margin: 0; } figure svg { display: block; max-width: 100%; height: auto; }
figure text { font-size: 12px; }
.narrow { display: none; }
@media (max-width: 700px) { .wide { display: none; } .narrow { display: block; } }
.damaged { color: var(--damaged); font-weight: 600; }
th.name { overflow-wrap: break-word; min-width: 8rem; } thead th { white-space: normal; vertical-align: bottom; }
@media (min-width: 701px) { th.name { min-width: 11rem; } }
`;
