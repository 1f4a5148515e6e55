import assert from "node:assert/strict";
import { bodies, check, eventually, fails, receive, until } from "../check.mjs";

export async function timing(bus) {
  await check("time: a renewed lock lives longer", async () => {
    const queue = await bus.queue({ lockDuration: "PT1M" });
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: 1 });
    const receiver = bus.client.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0 });
    const [m] = await receive(receiver, 1);
    const first = m.lockedUntilUtc;
    await until(new Date(Date.now() + 1_000));
    const renewed = await receiver.renewMessageLock(m);
    assert.ok(renewed > first, `${renewed.toISOString()} is not after ${first.toISOString()}`);
    assert.equal(m.lockedUntilUtc.getTime(), renewed.getTime());
    await receiver.completeMessage(m);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("time: the client renews by itself", async () => {
    const queue = await bus.queue({ lockDuration: "PT8S" }); // the client renews after half of it
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: 1 });
    const receiver = bus.client.createReceiver(queue);
    const [m] = await receive(receiver, 1);
    const first = m.lockedUntilUtc;
    await eventually(() => m.lockedUntilUtc > first);
    await receiver.completeMessage(m);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("time: a lock that ended is lost, and counts", async () => {
    const queue = await bus.queue({ lockDuration: "PT1S" });
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: 1 });
    const receiver = bus.client.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0 });
    const [m] = await receive(receiver, 1);
    await until(m.lockedUntilUtc);
    await fails(() => receiver.renewMessageLock(m), "MessageLockLost");
    await fails(() => receiver.completeMessage(m), "MessageLockLost");
    const taker = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" }); // needs no lock to last
    const [again] = await receive(taker, 1);
    assert.equal(again.deliveryCount, 1);
    await Promise.all([sender.close(), receiver.close(), taker.close()]);
  });

  await check("time: expired messages are dead-lettered", async () => {
    const queue = await bus.queue({ deadLetteringOnMessageExpiration: true });
    const sender = bus.client.createSender(queue);
    await sender.sendMessages({ body: 1, timeToLive: 200 });
    const dead = bus.client.createReceiver(queue, { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
    const [d] = await receive(dead, 1);
    assert.equal(d.deadLetterReason, "TTLExpiredException");
    await Promise.all([sender.close(), dead.close()]);
  });

  await check("time: schedule, look at, cancel", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    const hour = new Date(Date.now() + 3_600_000);
    const [a, b] = await sender.scheduleMessages([{ body: "a" }, { body: "b" }], hour);
    const receiver = bus.client.createReceiver(queue);
    const peeked = await receiver.peekMessages(5);
    assert.deepEqual(bodies(peeked), ["a", "b"]);
    assert.equal(peeked[0].state, "scheduled");
    assert.equal(peeked[0].sequenceNumber.toString(), a.toString());
    assert.equal((await bus.admin.getQueueRuntimeProperties(queue)).scheduledMessageCount, 2);
    await sender.cancelScheduledMessages(a);
    assert.deepEqual(bodies(await receiver.peekMessages(5, { fromSequenceNumber: a })), ["b"]);
    await fails(() => sender.cancelScheduledMessages(a), "MessageNotFound");
    await sender.cancelScheduledMessages([b]);
    await Promise.all([sender.close(), receiver.close()]);
  });

  await check("time: a scheduled message arrives when it is due, not before", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    const due = new Date(Date.now() + 1_000);
    await sender.scheduleMessages({ body: "due" }, due);
    await sender.sendMessages({ body: "property", scheduledEnqueueTimeUtc: due });
    const receiver = bus.client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const got = await receive(receiver, 2);
    assert.deepEqual(bodies(got).sort(), ["due", "property"]);
    for (const m of got) assert.ok(m.enqueuedTimeUtc.getTime() >= due.getTime() - 1, "it came too early");
    await Promise.all([sender.close(), receiver.close()]);
  });
}
