import type { EndpointInFlight } from '../scheduling/endpoint.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { FadingSum } from './fading-sum.ts';
import type { HeldPrompts, HeldRuns, PromptTokens } from './held-prompts.ts';

export interface RequestLoad {
  readonly promptTokens: number;
  /** Those not believed cached on the endpoint. */
  readonly uncachedTokens: number;
  /** Prefill of these, as the matrix work of so many tokens; `uncachedTokens` if absent. */
  readonly prefillWork?: number | undefined;
  /** Of the prompt, so that what several requests share counts once. */
  readonly prefix?: PrefixHashes | undefined;
  /** False when the answer comes as a whole, so that its first token is not seen. */
  readonly isStreaming?: boolean | undefined;
}

/** One request that counts against an endpoint. Mutable, owned by `InFlightLoad`. */
export interface LoadEntry extends RequestLoad {
  readonly prefillWork: number;
  /** Its prompt's. */
  readonly held: HeldRuns;
  /** The scrape that had last begun when the request was sent. */
  readonly epoch: number;
  readonly sentAtMs: number;
  /** When its first token was expected to come, milliseconds after it was sent. */
  readonly expectedMs: number;
  isWaitingForFirstToken: boolean;
  firstTokenAtMs: number | undefined;
  /** Since its first token was seen or assumed. */
  decodingSinceMs: number | undefined;
  /** Its first token came, or is missing, far too late; that has been counted. */
  isLate: boolean;
  /** In the list of entries; undefined once it was removed. */
  place: number | undefined;
}

/**
 * Counts what we have sent to one endpoint and not seen finished. Which requests a scrape cannot have seen is
 * told by epochs: each scrape that begins opens one, and the requests sent in it or later are news to it.
 *
 *     epoch 4        5              6
 *     ├── scrape ok ─┼── scrape ... ┼──▶      sentSinceScrape: epoch >= that of the last scrape that succeeded
 */
export class InFlightLoad {
  #epoch = 0;
  #succeededEpoch = 0;
  #sentInEpoch = 0;
  #sentSinceScrape = 0;
  #requests = 0;
  #waitingForFirstToken = 0;
  #awaitedFirstTokens = 0;
  #promptTokens = 0;
  #uncachedTokens = 0;
  #prefillWork = 0;
  #decoding = 0;
  /** Sum of `decodingSinceMs`. */
  #decodingSinceMs = 0;
  readonly #freshAnswers = new FadingSum(freshMs);
  /** Prefill sent there, as the matrix work of so many tokens. */
  readonly #recentWork = new FadingSum(recentMs);
  /** In the order in which engines prefill; those that have their first token are dropped at the front. */
  readonly #waiting: LoadEntry[] = [];
  /** When the engine has begun with the first of `#waiting`, if it works without a pause. */
  #headSinceMs = 0;
  readonly #prompts: Pick<HeldPrompts, 'add' | 'leave' | 'awaitedTokens'>;
  readonly #held: PromptTokens;
  /** The last takes the place of one that goes. A Set's outgrown tables would keep dead entries from the collector. */
  readonly #entries: LoadEntry[] = [];
  /** Until something changes. */
  #view: EndpointInFlight | undefined;
  /** Requests whose first token will not be seen, with the time when it is assumed; in that order. */
  readonly #unseen: { readonly entry: LoadEntry; readonly assumedAtMs: number }[] = [];

  /** `serial` names this endpoint in `prompts`. */
  constructor(prompts: Pick<HeldPrompts, 'add' | 'leave' | 'awaitedTokens'>, serial: number) {
    this.#prompts = prompts;
    this.#held = { serial, all: 0, alone: 0, left: 0 };
  }

  get requests(): number {
    return this.#requests;
  }

  /** Tokens of the prompts of all requests, what they share counted once. */
  get promptTokensHeld(): number {
    return this.#held.all;
  }

  /** `prefillMs` is the expected time to the first token; it is assumed for requests that will not show theirs. */
  add(
    {
      promptTokens,
      uncachedTokens,
      prefillWork = uncachedTokens,
      prefix = noPrefix,
      isStreaming = true,
    }: RequestLoad,
    nowMs: number,
    prefillMs: number,
  ): LoadEntry {
    const entry: LoadEntry = {
      promptTokens,
      uncachedTokens,
      prefillWork,
      held: this.#prompts.add(this.#held, prefix, promptTokens, nowMs),
      isStreaming,
      epoch: this.#epoch,
      sentAtMs: nowMs,
      expectedMs: prefillMs,
      isWaitingForFirstToken: true,
      firstTokenAtMs: undefined,
      decodingSinceMs: undefined,
      isLate: false,
      place: this.#entries.length,
    };
    this.#entries.push(entry);
    this.#view = undefined;
    if (!isStreaming) this.#unseen.push({ entry, assumedAtMs: nowMs + prefillMs });
    this.#requests++;
    this.#sentInEpoch++;
    this.#sentSinceScrape++;
    this.#waitingForFirstToken++;
    if (isStreaming) this.#awaitedFirstTokens++;
    this.#promptTokens += promptTokens;
    this.#uncachedTokens += uncachedTokens;
    this.#prefillWork += prefillWork;
    this.#recentWork.add(prefillWork, nowMs);
    if (this.#waiting.length === 0) this.#headSinceMs = nowMs;
    this.#waiting.push(entry);
    return entry;
  }

  /** Of an entry that this load has made. */
  has({ place }: LoadEntry): boolean {
    return place !== undefined;
  }

  firstToken(entry: LoadEntry, nowMs: number): void {
    if (!entry.isWaitingForFirstToken) return;
    this.#endPrefill(entry, nowMs);
    entry.decodingSinceMs = nowMs;
    this.#decoding++;
    this.#decodingSinceMs += nowMs;
    this.#freshAnswers.add(1, nowMs);
  }

  /** Answers that have just begun: each counts 1 at its first token, and fades. */
  freshAnswers(nowMs: number): number {
    return this.#freshAnswers.at(nowMs);
  }

  /** Share of the engine's time that the prefill sent there lately takes. */
  prefillShare(nowMs: number, msPerToken: number): number {
    return (msPerToken * this.#recentWork.at(nowMs)) / recentMs;
  }

  #endPrefill(entry: LoadEntry, nowMs: number): void {
    entry.isWaitingForFirstToken = false;
    this.#view = undefined;
    this.#waitingForFirstToken--;
    if (entry.isStreaming !== false) this.#awaitedFirstTokens--;
    this.#uncachedTokens -= entry.uncachedTokens;
    this.#prefillWork -= entry.prefillWork;
    if (this.#waiting[0] !== entry) return;
    this.#headSinceMs = nowMs;
    while (this.#waiting[0]?.isWaitingForFirstToken === false) this.#waiting.shift();
  }

  /** Until the prefill that waits is done: the engine takes prompts in turn and is somewhere within the first. */
  pendingPrefillMs(nowMs: number, msPerToken: number): number {
    const head = this.#waiting[0];
    if (head === undefined) return 0;
    const doneMs = Math.min(mostDone * msPerToken * head.prefillWork, nowMs - this.#headSinceMs);
    return msPerToken * this.#prefillWork - Math.max(0, doneMs);
  }

  /** Tokens of prompts that have just ended, where conversations mostly go on at once. */
  awaitedTokens(nowMs: number): number {
    return this.#prompts.awaitedTokens(this.#held, nowMs);
  }

  /** Of `promptTokensHeld`, what ends give back: without the prefixes that several requests hold. */
  get promptTokensAlone(): number {
    return this.#held.alone;
  }

  /** Time since the first tokens of the answers under way, summed. */
  decodingMs(nowMs: number): number {
    return Math.max(0, this.#decoding * nowMs - this.#decodingSinceMs);
  }

  /** Assumes the first tokens that are due and will not be seen. */
  settle(nowMs: number): void {
    while (this.#unseen.length > 0 && this.#unseen[0]!.assumedAtMs <= nowMs) {
      const { entry, assumedAtMs } = this.#unseen.shift()!;
      this.firstToken(entry, assumedAtMs);
    }
  }

  /** Requests sent before then whose first token could have been seen and has not. Oldest first. */
  waitingSince(beforeMs: number): readonly LoadEntry[] {
    const head = this.#waiting[0];
    if (head === undefined || head.sentAtMs >= beforeMs) return nobody;
    const since: LoadEntry[] = [];
    for (const entry of this.#waiting) {
      if (entry.sentAtMs >= beforeMs) break;
      if (entry.isWaitingForFirstToken && entry.isStreaming !== false) since.push(entry);
    }
    return since;
  }

  remove(entry: LoadEntry, nowMs: number): void {
    const { place } = entry;
    if (place === undefined) return;
    const last = this.#entries.pop()!;
    last.place = place;
    if (last !== entry) this.#entries[place] = last;
    entry.place = undefined;
    if (entry.isWaitingForFirstToken) {
      this.#endPrefill(entry, nowMs);
      this.#recentWork.takeBack(entry.prefillWork, entry.sentAtMs, nowMs);
    } else {
      this.#decoding--;
      this.#freshAnswers.takeBack(1, entry.decodingSinceMs!, nowMs);
      this.#decodingSinceMs = this.#decoding === 0 ? 0 : this.#decodingSinceMs - entry.decodingSinceMs!;
    }
    this.#prompts.leave(this.#held, entry.held, nowMs);
    this.#view = undefined;
    this.#requests--;
    this.#promptTokens -= entry.promptTokens;
    if (entry.epoch >= this.#epoch) this.#sentInEpoch--;
    if (entry.epoch >= this.#succeededEpoch) this.#sentSinceScrape--;
    while (this.#unseen[0]?.entry.isWaitingForFirstToken === false) this.#unseen.shift();
  }

  beginScrape(): void {
    this.#epoch++;
    this.#sentInEpoch = 0;
  }

  endScrape(): void {
    if (this.#sentSinceScrape !== this.#sentInEpoch) this.#view = undefined;
    this.#succeededEpoch = this.#epoch;
    this.#sentSinceScrape = this.#sentInEpoch;
  }

  /** The same object until something changed. */
  view(): EndpointInFlight {
    this.#view ??= Object.freeze({
      requests: this.#requests,
      sentSinceScrape: this.#sentSinceScrape,
      waitingForFirstToken: this.#waitingForFirstToken,
      awaitedFirstTokens: this.#awaitedFirstTokens,
      promptTokens: this.#promptTokens,
      uncachedTokens: this.#uncachedTokens,
    });
    return this.#view;
  }

  /** Throws if the counters are not the sums over the entries. */
  checkIntegrity(owner: string): void {
    const entries = [...this.#entries].sort((a, b) => a.sentAtMs - b.sentAtMs);
    const waiting = entries.filter((entry) => entry.isWaitingForFirstToken);
    const expected: EndpointInFlight = {
      requests: entries.length,
      sentSinceScrape: entries.filter((entry) => entry.epoch >= this.#succeededEpoch).length,
      waitingForFirstToken: waiting.length,
      awaitedFirstTokens: waiting.filter(({ isStreaming }) => isStreaming !== false).length,
      promptTokens: sum(entries.map((entry) => entry.promptTokens)),
      uncachedTokens: sum(waiting.map((entry) => entry.uncachedTokens)),
    };
    const found = this.view();
    for (const key of Object.keys(expected) as (keyof EndpointInFlight)[]) {
      if (found[key] !== expected[key]) {
        throw new Error(
          `in-flight ${key} of ${owner} is ${found[key]}, its reservations sum to ${expected[key]}`,
        );
      }
    }
    const decoding = entries.length - waiting.length;
    if (this.#decoding !== decoding)
      throw new Error(`${owner} decodes ${decoding}, counts ${this.#decoding}`);
    const inOrder = this.#waiting.filter((entry) => entry.isWaitingForFirstToken);
    if (inOrder.length !== waiting.length || !waiting.every((entry) => inOrder.includes(entry)))
      throw new Error(`${owner} prefills ${inOrder.length} prompts, of ${waiting.length} that wait`);
    if (this.#waiting.length > 0 && this.#waiting[0] !== inOrder[0])
      throw new Error(`${owner} prefills a prompt that has its first token`);
    if (entries.length === 0 && this.#held.all + this.#held.alone !== 0)
      throw new Error(`${owner} is idle and ${this.#held.all} tokens are held there`);
  }
}

const nobody: readonly LoadEntry[] = Object.freeze([]);
const none = new Uint32Array(0);
/** Of a prompt whose blocks are not known: it shares nothing. */
const noPrefix: PrefixHashes = Object.freeze({ count: 0, low: none, high: none, blockTokens: 1 });

/** Some dozens of tokens: what is not over by then is no short answer. */
const freshMs = 500;
/** Over how long the share of prefill is taken: some prompts, and about an answer. */
const recentMs = 5000;

/** Of the prompt under way, the share that may count as done; the first token will tell the rest. */
const mostDone = 0.9;

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
