import { framedTarget } from './dumps.ts';

export default framedTarget('gzip');
