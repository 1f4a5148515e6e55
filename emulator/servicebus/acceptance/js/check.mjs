// A small harness: each check prints one line, and none stops the others.

import assert from "node:assert/strict";

const LIMIT = 60_000; // of one check, in ms: a client that hangs is a failure, not the end

let passed = 0;
let failed = 0;

/** Runs one check and prints its line. */
export async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT / 1000} s`)), LIMIT);
  });
  try {
    await Promise.race([body(), late]);
    passed++;
    console.log(`ok    ${name}`);
  } catch (err) {
    failed++;
    console.log(`FAIL  ${name}: ${err?.code ? `[${err.code}] ` : ""}${err?.message ?? err}`);
    if (process.env.VERBOSE) console.log(err);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the counts and returns the exit code. */
export function summary() {
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

/** Expects the call to fail with one of these codes of the client. */
export async function fails(call, ...codes) {
  let value;
  try {
    value = await call();
  } catch (err) {
    assert.ok(codes.includes(err.code), `failed with code ${err.code} (${err.message}), wanted ${codes.join(" or ")}`);
    return err;
  }
  assert.fail(`did not fail with ${codes.join(" or ")}, gave ${JSON.stringify(value)}`);
}

/** Waits until a moment of the machine's clock has passed. */
export function until(date) {
  return new Promise((done) => setTimeout(done, Math.max(0, date.getTime() - Date.now() + 50)));
}

/** Asks again until the answer is there; the caller's check bounds the time. */
export async function eventually(ask) {
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Receives exactly n messages, in as many calls as it takes. */
export async function receive(receiver, n) {
  const all = [];
  while (all.length < n) {
    all.push(...(await receiver.receiveMessages(n - all.length, { maxWaitTimeInMs: 10_000 })));
  }
  assert.equal(all.length, n);
  return all;
}

export const bodies = (messages) => messages.map((m) => m.body);
