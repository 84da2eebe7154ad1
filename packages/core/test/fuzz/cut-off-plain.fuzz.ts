import { cutOffTarget } from './cut-off.ts';

export default cutOffTarget('none');
