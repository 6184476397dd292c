/**
 * Sends a session to the same endpoint each time, without remembering sessions: of all candidates, the one
 * whose name hashes highest together with the session id scores 1, the others 0 (rendezvous hashing, Thaler
 * and Ravishankar 1998). When an endpoint goes, only its own sessions move. Without an id all score 1.
 */
import { defineScorer } from 'pointsman/scheduling';

export default defineScorer({
  description: 'The same endpoint for all requests of a session, told by a header.',
  defaults: { header: 'x-session-id' },
  create: ({ header }) => {
    const name = header.trim().toLowerCase();
    if (name === '') throw new Error('header is empty; expected a header name such as x-session-id');
    return ({ request }, endpoints) => {
      const session = request.headers.get(name);
      if (!session) return endpoints.map(() => 1);
      let winner = -1;
      let highest = -1;
      endpoints.forEach((endpoint, i) => {
        const hash = hashText(`${session}\n${endpoint.name}`);
        if (hash > highest) {
          highest = hash;
          winner = i;
        }
      });
      return endpoints.map((_endpoint, i) => (i === winner ? 1 : 0));
    };
  },
});

/** FNV-1a over UTF-16 units, then the finaliser of MurmurHash3 so that similar names part. 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
