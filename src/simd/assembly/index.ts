export { hashBlocks } from './hash-blocks';
export {
  bodyAt,
  highAt,
  lowAt,
  membersAt,
  mostBlocks,
  mostMembers,
  paddingBytes,
  resultAt,
} from './layout';
export { scanJson } from './scan-json';
