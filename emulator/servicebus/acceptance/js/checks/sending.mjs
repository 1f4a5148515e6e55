import assert from "node:assert/strict";
import { bodies, check, fails, receive } from "../check.mjs";

export async function sending(bus) {
  await check("send: every kind of body arrives as it was sent", async () => {
    const queue = await bus.queue();
    const sent = ["text", 42, true, null, { nested: { list: [1, "two", null] } }, ["a", 1], Buffer.from([0, 1, 255])];
    const sender = bus.client.createSender(queue);
    for (const body of sent) await sender.sendMessages({ body });
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const got = bodies(await receive(receiver, sent.length));
    assert.deepEqual(got.slice(0, -1), sent.slice(0, -1));
    assert.ok(Buffer.isBuffer(got.at(-1)) && got.at(-1).equals(sent.at(-1)), "a buffer stays a buffer");
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("send: AMQP value and sequence bodies", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: { a: 1 }, bodyType: "value" });
    await sender.sendMessages({ body: [1, 2, 3], bodyType: "sequence" });
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const [value, sequence] = await receive(receiver, 2);
    assert.deepEqual(value.body, { a: 1 });
    assert.equal(value._rawAmqpMessage.bodyType, "value");
    assert.deepEqual(sequence.body, [1, 2, 3]);
    assert.equal(sequence._rawAmqpMessage.bodyType, "sequence");
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("send: all properties, and what the broker adds", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    const message = {
      body: "b", messageId: "id-1", contentType: "application/json", correlationId: "c-1", subject: "subject", to: "to",
      replyTo: "reply", replyToSessionId: "reply-session", partitionKey: "key", timeToLive: 3_600_000,
      applicationProperties: { text: "é", int: 7, float: 1.5, flag: false, when: new Date("2026-11-21T12:00:00Z"),
        nothing: null },
    };
    const before = Date.now() - 5_000;
    await sender.sendMessages(message);
    await sender.sendMessages({ body: "plain" });
    const receiver = bus.client.createReceiver(queue);
    const [got, plain] = await receive(receiver, 2);
    // The client reads times as numbers.
    message.applicationProperties.when = message.applicationProperties.when.getTime();
    for (const [name, value] of Object.entries(message)) assert.deepEqual(got[name], value, name);
    assert.equal(got.deliveryCount, 0);
    assert.ok(got.sequenceNumber.toNumber() > 0 && plain.sequenceNumber.greaterThan(got.sequenceNumber));
    assert.ok(got.enqueuedTimeUtc.getTime() > before && got.enqueuedTimeUtc.getTime() < Date.now() + 5_000);
    assert.equal(got.expiresAtUtc.getTime(), got.enqueuedTimeUtc.getTime() + 3_600_000);
    assert.ok(got.lockedUntilUtc > new Date() && /^[0-9a-f-]{36}$/.test(got.lockToken));
    assert.equal(got.state, "active");
    assert.ok(plain.messageId, "a message without an ID gets one");
    for (const m of [got, plain]) await receiver.completeMessage(m);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("send: arrays and batches arrive in order", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    const batch = await sender.createMessageBatch();
    for (const body of [3, 4, 5]) assert.ok(batch.tryAddMessage({ body, applicationProperties: { n: body } }));
    assert.equal(batch.count, 3);
    await sender.sendMessages(batch);
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const got = await receive(receiver, 5);
    assert.deepEqual(bodies(got), [1, 2, 3, 4, 5]);
    assert.equal(got[4].applicationProperties.n, 5);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("send: a batch takes what fits and no more", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    const batch = await sender.createMessageBatch();
    assert.equal(batch.maxSizeInBytes, 256 * 1024);
    const body = Buffer.alloc(100 * 1024);
    assert.deepEqual([1, 2, 3].map(() => batch.tryAddMessage({ body })), [true, true, false]);
    await sender.sendMessages(batch);
    await fails(() => sender.sendMessages({ body: Buffer.alloc(300 * 1024) }), "MessageSizeExceeded");
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const got = await receive(receiver, 2);
    assert.equal(got[1].body.length, body.length);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("send: duplicates within the window are dropped", async () => {
    const queue = await bus.queue({ requiresDuplicateDetection: true, duplicateDetectionHistoryTimeWindow: "PT10M" });
    const sender = bus.client.createSender(queue);
    for (const [messageId, body] of [["a", 1], ["a", 2], ["b", 3]]) await sender.sendMessages({ messageId, body });
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    assert.deepEqual(bodies(await receive(receiver, 2)), [1, 3]);
    assert.deepEqual(await receiver.peekMessages(1), []);
    await Promise.all([sender.close(), receiver.close()]);
  });
}
