import assert from "node:assert/strict";
import { bodies, check, fails, receive, until } from "../check.mjs";

export async function sessions(bus) {
  const filled = async (ids, n, properties) => {
    const queue = await bus.queue({ requiresSession: true, ...properties });
    const sender = bus.client.createSender(queue);
    for (let i = 1; i <= n; i++)
      for (const sessionId of ids) await sender.sendMessages({ sessionId, body: `${sessionId}${i}` });
    await sender.close();
    return queue;
  };

  await check("session: by ID, in order, only its own messages", async () => {
    const queue = await filled(["a", "b"], 3);
    const b = await bus.client.acceptSession(queue, "b");
    assert.equal(b.sessionId, "b");
    assert.ok(b.sessionLockedUntilUtc > new Date());
    const got = await receive(b, 3);
    assert.deepEqual(bodies(got), ["b1", "b2", "b3"]);
    for (const m of got) {
      assert.equal(m.sessionId, "b");
      await b.completeMessage(m);
    }
    assert.deepEqual(await b.receiveMessages(1, { maxWaitTimeInMs: 300 }), []);
    await b.close();
  });

  await check("session: next one, each to one receiver", async () => {
    const queue = await filled(["a", "b", "c"], 1);
    const all = [];
    for (let i = 0; i < 3; i++) all.push(await bus.client.acceptNextSession(queue));
    assert.deepEqual(all.map((s) => s.sessionId).sort(), ["a", "b", "c"]);
    const client = new bus.client.constructor(bus.plain, { retryOptions: { maxRetries: 0, timeoutInMs: 1_000 } });
    await fails(() => client.acceptNextSession(queue), "ServiceTimeout", "SessionCannotBeLocked");
    await client.close();
    for (const s of all) await s.close();
  });

  await check("session: next one waits for a message", async () => {
    const queue = await bus.queue({ requiresSession: true });
    const waiting = bus.client.acceptNextSession(queue);
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ sessionId: "late", body: 1 });
    const s = await waiting;
    assert.equal(s.sessionId, "late");
    await Promise.all([s.close(), sender.close()]);
  });

  await check("session: a locked one cannot be locked again", async () => {
    const queue = await filled(["a"], 1);
    const first = await bus.client.acceptSession(queue, "a");
    await fails(() => bus.client.acceptSession(queue, "a"), "SessionCannotBeLocked");
    await first.close();
    const second = await bus.client.acceptSession(queue, "a");
    await second.close();
  });

  await check("session: closing gives the messages back, uncounted", async () => {
    const queue = await filled(["a"], 2);
    const first = await bus.client.acceptSession(queue, "a");
    await receive(first, 2);
    await first.close();
    const second = await bus.client.acceptSession(queue, "a");
    const got = await receive(second, 2);
    assert.deepEqual(bodies(got), ["a1", "a2"]);
    assert.deepEqual(got.map((m) => m.deliveryCount), [0, 0]);
    await second.close();
  });

  await check("session: state is kept, and cleared", async () => {
    const queue = await filled(["a"], 1);
    const s = await bus.client.acceptSession(queue, "a");
    assert.ok(!(await s.getSessionState()), "a fresh session has no state");
    await s.setSessionState({ step: 2 });
    assert.deepEqual(await s.getSessionState(), { step: 2 });
    await s.close();
    const again = await bus.client.acceptSession(queue, "a");
    assert.deepEqual(await again.getSessionState(), { step: 2 });
    await again.setSessionState(null);
    assert.ok(!(await again.getSessionState()));
    await again.close();
  });

  await check("session: renewal", async () => {
    const queue = await filled(["a"], 1, { lockDuration: "PT1M" });
    const s = await bus.client.acceptSession(queue, "a", { maxAutoLockRenewalDurationInMs: 0 });
    const first = s.sessionLockedUntilUtc;
    await until(new Date(Date.now() + 1_000));
    const renewed = await s.renewSessionLock();
    assert.ok(renewed > first);
    assert.equal(s.sessionLockedUntilUtc.getTime(), renewed.getTime());
    await s.close();
  });

  await check("session: a lock that ended is lost, and counts", async () => {
    const queue = await filled(["a"], 1, { lockDuration: "PT4S" });
    const s = await bus.client.acceptSession(queue, "a", { maxAutoLockRenewalDurationInMs: 0 });
    const [m] = await receive(s, 1);
    await until(s.sessionLockedUntilUtc);
    await fails(() => s.completeMessage(m), "SessionLockLost", "MessageLockLost");
    await fails(() => s.renewSessionLock(), "SessionLockLost");
    await s.close();
    const onlooker = bus.client.createReceiver(queue);
    const [back] = await onlooker.peekMessages(1);
    assert.equal(back.deliveryCount, 1);
    await onlooker.close();
  });

  await check("session: all settlements", async () => {
    const queue = await filled(["a"], 4);
    const s = await bus.client.acceptSession(queue, "a");
    const [one, two, three, four] = await receive(s, 4);
    await s.completeMessage(one);
    await s.deadLetterMessage(two, { deadLetterReason: "r", deadLetterErrorDescription: "d" });
    await s.deferMessage(three);
    await s.abandonMessage(four, { again: true });
    const [back] = await receive(s, 1);
    assert.equal(back.body, "a4");
    assert.equal(back.applicationProperties.again, true);
    await s.completeMessage(back);
    const [deferred] = await s.receiveDeferredMessages(three.sequenceNumber);
    assert.equal(deferred.body, "a3");
    await s.completeMessage(deferred);
    await s.close();
    const dead = bus.client.createReceiver(queue, { subQueueType: "deadLetter" }); // has no sessions
    const [d] = await receive(dead, 1);
    assert.equal(d.body, "a2");
    assert.equal(d.sessionId, "a");
    assert.equal(d.deadLetterReason, "r");
    await dead.completeMessage(d);
    await dead.close();
    assert.equal((await bus.admin.getQueueRuntimeProperties(queue)).totalMessageCount, 0);
  });

  await check("session: peek sees this session only", async () => {
    const queue = await filled(["a", "b"], 2);
    const s = await bus.client.acceptSession(queue, "b");
    assert.deepEqual(bodies(await s.peekMessages(10)), ["b1", "b2"]);
    await s.close();
  });

  await check("session: a handler, in order", async () => {
    const queue = await filled(["a"], 10);
    const s = await bus.client.acceptSession(queue, "a");
    const got = [];
    await new Promise((done, reject) => {
      s.subscribe({
        async processMessage(m) {
          got.push(m.body);
          if (got.length === 10) done();
        },
        async processError({ error }) {
          reject(error);
        },
      });
    });
    await s.close();
    assert.deepEqual(got, Array.from({ length: 10 }, (_, i) => `a${i + 1}`));
  });

  await check("session: schedule and cancel", async () => {
    const queue = await bus.queue({ requiresSession: true });
    const sender = bus.client.createSender(queue);
    const [number] = await sender.scheduleMessages({ sessionId: "a", body: 1 }, new Date(Date.now() + 3_600_000));
    await sender.cancelScheduledMessages(number);
    await sender.scheduleMessages({ sessionId: "a", body: 2 }, new Date(Date.now() + 500));
    const s = await bus.client.acceptNextSession(queue);
    assert.deepEqual(bodies(await receive(s, 1)), [2]);
    await Promise.all([s.close(), sender.close()]);
  });

  await check("session: the subscription of a topic", async () => {
    const topic = bus.name("topic");
    await bus.admin.createTopic(topic);
    await bus.admin.createSubscription(topic, "s", { requiresSession: true });
    const sender = bus.client.createSender(topic);
    await sender.sendMessages([{ sessionId: "x", body: 1 }, { sessionId: "x", body: 2 }]);
    const s = await bus.client.acceptNextSession(topic, "s");
    assert.equal(s.sessionId, "x");
    assert.deepEqual(bodies(await receive(s, 2)), [1, 2]);
    await Promise.all([s.close(), sender.close()]);
  });
}
