// What the rates of each queue were in the last minutes: enough for a small curve, never more.

const STEP = 2000; // milliseconds between two samples
const SAMPLES = 90;
const QUEUES = 200;

/** Remembers rates; told the latest ones, sampled by its own clock. */
export class History {
  #samples = new Map();
  #latest = new Map();

  /** Take the rates of the queues as they are now. */
  take(queues) {
    this.#latest = new Map(queues.slice(0, QUEUES).map(({ queue, rates }) => [queue, rates || {}]));
    for (const queue of this.#samples.keys()) if (!this.#latest.has(queue)) this.#samples.delete(queue);
  }

  /** Note one sample for each queue. */
  sample() {
    for (const [queue, rates] of this.#latest) {
      const kept = this.#samples.get(queue) || [];
      kept.push([Number(rates.posted) || 0, Number(rates.succeeded) || 0]);
      if (kept.length > SAMPLES) kept.shift();
      this.#samples.set(queue, kept);
    }
  }

  /** Return the samples of a queue, the oldest first: pairs of posted and succeeded, a second. */
  of(queue) {
    return this.#samples.get(queue) || [];
  }

  /** Sample for ever. */
  start() {
    setInterval(() => this.sample(), STEP);
  }
}

export const WINDOW = { samples: SAMPLES, minutes: (SAMPLES * STEP) / 60_000 };
