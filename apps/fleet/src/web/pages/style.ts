import { PAGE_STYLE } from '@gantry/programs';

/** The style of the pages of a fleet: that of all pages, and what these need beside it. */
export const STYLE: string = `${PAGE_STYLE}
header { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline; justify-content: space-between; }
header form { margin: 0; } h1 a { color: inherit; text-decoration: none; } a { color: var(--busy); }
a.row { display: inline-block; padding: 4px 0; } th, td { vertical-align: baseline; } th.name { min-width: 11rem; }
dl.figures { grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); }
button, input { font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--quiet); border-radius: 6px; padding: 8px 12px; min-height: 44px; }
button { cursor: pointer; } label { display: block; color: var(--quiet); }
form.login { max-width: 24rem; margin: 3rem auto; } form.login input { width: 100%; margin-bottom: 12px; }
form.search { display: flex; flex-wrap: wrap; gap: 8px; align-items: end; margin: .5rem 0; } form.search input { width: min(100%, 18rem); }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); } .busy { color: var(--busy); } .doubtful { color: var(--doubtful); }
.notice { border-left: 4px solid var(--bad); padding: 4px 12px; margin: 1rem 0; background: var(--card); }
progress { width: 8rem; height: .8rem; accent-color: var(--busy); vertical-align: middle; }
svg.history { display: block; width: 100%; height: auto; max-width: 1000px; }
svg.history .line { stroke: var(--line); } svg.history text { fill: var(--quiet); font-size: 12px; }
svg.history .mark { fill: var(--bad); } svg.history .bar-done { fill: var(--good); } svg.history .bar-failed { fill: var(--bad); } svg.history .bar-running { fill: var(--busy); }
svg.history .bar-other { fill: none; stroke: var(--doubtful); stroke-width: 2; }
.narrow { display: none; }
@media (max-width: 700px) { .wide { display: none; } .narrow { display: block; } }
`;
