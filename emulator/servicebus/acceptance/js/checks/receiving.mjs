import assert from "node:assert/strict";
import { bodies, check, fails, receive } from "../check.mjs";

export async function receiving(bus) {
  const filled = async (n, properties) => {
    const queue = await bus.queue(properties);
    const sender = bus.client.createSender(queue);
    await sender.sendMessages(Array.from({ length: n }, (_, i) => ({ body: i + 1, messageId: `m${i + 1}` })));
    await sender.close();
    return queue;
  };
  const counts = (queue) => bus.admin.getQueueRuntimeProperties(queue);

  await check("receive: complete removes", async () => {
    const queue = await filled(2);
    const receiver = bus.client.createReceiver(queue);
    for (const m of await receive(receiver, 2)) await receiver.completeMessage(m);
    assert.equal((await counts(queue)).totalMessageCount, 0);
    await receiver.close();
  });

  await check("receive: receive-and-delete removes at once", async () => {
    const queue = await filled(3);
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    assert.deepEqual(bodies(await receive(receiver, 3)), [1, 2, 3]);
    assert.equal((await counts(queue)).totalMessageCount, 0);
    await receiver.close();
  });

  await check("receive: abandon brings it back, counted and with new properties", async () => {
    const queue = await filled(1);
    const receiver = bus.client.createReceiver(queue);
    const [first] = await receive(receiver, 1);
    await receiver.abandonMessage(first, { attempt: 1 });
    const [second] = await receive(receiver, 1);
    assert.equal(second.deliveryCount, 1);
    assert.equal(second.applicationProperties.attempt, 1);
    assert.equal(second.sequenceNumber.toString(), first.sequenceNumber.toString());
    await receiver.completeMessage(second);
    await receiver.close();
  });

  await check("receive: defer, and receive by sequence number", async () => {
    const queue = await filled(3);
    const receiver = bus.client.createReceiver(queue);
    const all = await receive(receiver, 3);
    for (const m of all) await receiver.deferMessage(m, { why: "later" });
    const numbers = all.map((m) => m.sequenceNumber);
    const [peeked] = await receiver.peekMessages(1);
    assert.equal(peeked.state, "deferred");
    const [one] = await receiver.receiveDeferredMessages(numbers[0]);
    assert.equal(one.body, 1);
    assert.equal(one.applicationProperties.why, "later");
    await receiver.completeMessage(one);
    const [two, three] = await receiver.receiveDeferredMessages([numbers[1], numbers[2]]);
    await receiver.abandonMessage(two); // it stays deferred
    await receiver.deadLetterMessage(three, { deadLetterReason: "r" });
    const [again] = await receiver.receiveDeferredMessages(numbers[1]);
    assert.equal(again.deliveryCount > 0, true);
    await receiver.completeMessage(again);
    await fails(() => receiver.receiveDeferredMessages(numbers[0]), "MessageNotFound");
    await receiver.close();
  });

  await check("receive: dead-letter, with reason, description and properties", async () => {
    const queue = await filled(1);
    const receiver = bus.client.createReceiver(queue);
    const [m] = await receive(receiver, 1);
    await receiver.deadLetterMessage(m,
      { deadLetterReason: "because", deadLetterErrorDescription: "it is so", extra: "x" });
    const dead = bus.client.createReceiver(queue, { subQueueType: "deadLetter" });
    const [d] = await receive(dead, 1);
    assert.equal(d.body, 1);
    assert.equal(d.messageId, "m1");
    assert.equal(d.deadLetterReason, "because");
    assert.equal(d.deadLetterErrorDescription, "it is so");
    assert.equal(d.applicationProperties.extra, "x");
    const state = await counts(queue);
    assert.deepEqual([state.activeMessageCount, state.deadLetterMessageCount], [0, 1]);
    await dead.completeMessage(d);
    assert.equal((await counts(queue)).deadLetterMessageCount, 0);
    await Promise.all([receiver.close(), dead.close()]);
  });

  await check("receive: too many deliveries dead-letter", async () => {
    const queue = await filled(1, { maxDeliveryCount: 2 });
    const receiver = bus.client.createReceiver(queue);
    for (let i = 0; i < 2; i++) await receiver.abandonMessage((await receive(receiver, 1))[0]);
    const dead = bus.client.createReceiver(queue, { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
    const [d] = await receive(dead, 1);
    assert.equal(d.deadLetterReason, "MaxDeliveryCountExceeded");
    await Promise.all([receiver.close(), dead.close()]);
  });

  await check("receive: peek leaves everything where it is", async () => {
    const queue = await filled(5);
    const receiver = bus.client.createReceiver(queue);
    const first = await receiver.peekMessages(2);
    const next = await receiver.peekMessages(2); // goes on where it stopped
    assert.deepEqual(bodies([...first, ...next]), [1, 2, 3, 4]);
    const from = await receiver.peekMessages(10, { fromSequenceNumber: first[1].sequenceNumber });
    assert.deepEqual(bodies(from), [2, 3, 4, 5]);
    assert.equal((await counts(queue)).activeMessageCount, 5);
    await receiver.close();
  });

  await check("receive: a handler gets everything, several at a time", async () => {
    const queue = await filled(20);
    const receiver = bus.client.createReceiver(queue);
    const seen = new Set();
    await new Promise((done, reject) => {
      receiver.subscribe(
        {
          async processMessage(m) {
            seen.add(m.body);
            if (seen.size === 20) done();
          },
          async processError({ error }) {
            reject(error);
          },
        },
        { maxConcurrentCalls: 4 },
      );
    });
    await receiver.close(); // completes what is in hand
    assert.equal((await counts(queue)).totalMessageCount, 0);
  });

  await check("receive: the async iterator", async () => {
    const queue = await filled(3);
    const receiver = bus.client.createReceiver(queue);
    const got = [];
    for await (const m of receiver.getMessageIterator()) {
      got.push(m.body);
      await receiver.completeMessage(m);
      if (got.length === 3) break;
    }
    assert.deepEqual(got, [1, 2, 3]);
    await receiver.close();
  });

  await check("receive: nothing there ends after the time asked for", async () => {
    const receiver = bus.client.createReceiver(await bus.queue());
    assert.deepEqual(await receiver.receiveMessages(1, { maxWaitTimeInMs: 300 }), []);
    await receiver.close();
  });

  await check("receive: messages move on to another queue", async () => {
    const target = await bus.queue();
    const queue = await bus.queue({ forwardTo: target, forwardDeadLetteredMessagesTo: target });
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: "on" });
    const receiver = bus.client.createReceiver(target, { receiveMode: "receiveAndDelete" });
    assert.deepEqual(bodies(await receive(receiver, 1)), ["on"]);
    await Promise.all([sender.close(), receiver.close()]);
  });
}
