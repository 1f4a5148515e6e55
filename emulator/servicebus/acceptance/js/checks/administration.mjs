import assert from "node:assert/strict";
import { check, fails } from "../check.mjs";

export async function administration(bus) {
  const { admin } = bus;

  await check("administration: the namespace", async () => {
    const n = await admin.getNamespaceProperties();
    assert.ok(n.name && n.createdAt instanceof Date && !isNaN(n.createdAt));
    assert.equal(n.messagingSku, "Standard");
  });

  await check("administration: a queue, made, read, changed, deleted", async () => {
    const name = bus.name("queue");
    const target = await bus.queue();
    const made = await admin.createQueue(name, {
      lockDuration: "PT45S", maxDeliveryCount: 7, defaultMessageTimeToLive: "P1D",
        deadLetteringOnMessageExpiration: true,
      requiresDuplicateDetection: true, duplicateDetectionHistoryTimeWindow: "PT1M", userMetadata: "a <b> & 'c'",
      forwardDeadLetteredMessagesTo: target, maxMessageSizeInKilobytes: 512, enableBatchedOperations: false,
      authorizationRules: [{ claimType: "SharedAccessKey", keyName: "k", accessRights: ["Send"], primaryKey: "p",
        secondaryKey: "s" }],
    });
    assert.equal(made.name, name);
    const got = await admin.getQueue(name);
    assert.equal(got.lockDuration, "PT45S");
    assert.equal(got.maxDeliveryCount, 7);
    assert.equal(got.defaultMessageTimeToLive, "P1D");
    assert.equal(got.requiresDuplicateDetection, true);
    assert.equal(got.requiresSession, false);
    assert.equal(got.userMetadata, "a <b> & 'c'");
    assert.equal(got.maxMessageSizeInKilobytes, 512);
    assert.equal(got.status, "Active");
    assert.ok(got.forwardDeadLetteredMessagesTo.endsWith(`/${target}`));
    assert.deepEqual(got.authorizationRules,
      [{ claimType: "SharedAccessKey", keyName: "k", accessRights: ["Send"], primaryKey: "p", secondaryKey: "s" }]);
    got.maxDeliveryCount = 9;
    got.status = "SendDisabled";
    const changed = await admin.updateQueue(got);
    assert.equal(changed.maxDeliveryCount, 9);
    assert.equal(changed.status, "SendDisabled");
    assert.equal(changed.userMetadata, got.userMetadata);
    assert.ok(await admin.queueExists(name));
    await admin.deleteQueue(name);
    assert.equal(await admin.queueExists(name), false);
  });

  await check("administration: counts", async () => {
    const queue = await bus.queue();
    const sender = bus.client.createSender(queue);
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    await sender.scheduleMessages({ body: 3 }, new Date(Date.now() + 3_600_000));
    const state = await admin.getQueueRuntimeProperties(queue);
    assert.equal(state.activeMessageCount, 2);
    assert.equal(state.scheduledMessageCount, 1);
    assert.equal(state.totalMessageCount, 3);
    assert.ok(state.sizeInBytes > 0);
    assert.ok(state.createdAt <= state.modifiedAt || state.createdAt instanceof Date);
    await sender.close();
  });

  await check("administration: a topic and its subscriptions", async () => {
    const topic = bus.name("topic");
    const made = await admin.createTopic(topic,
      { defaultMessageTimeToLive: "PT1H", supportOrdering: true, autoDeleteOnIdle: "PT10M" });
    assert.equal(made.defaultMessageTimeToLive, "PT1H");
    made.userMetadata = "m";
    assert.equal((await admin.updateTopic(made)).userMetadata, "m");
    const sub = await admin.createSubscription(topic, "s", {
      lockDuration: "PT30S", requiresSession: true, maxDeliveryCount: 4,
      defaultRuleOptions: { name: "first", filter: { sqlExpression: "a = 1" } },
    });
    assert.equal(sub.subscriptionName, "s");
    assert.equal(sub.requiresSession, true);
    sub.lockDuration = "PT1M";
    assert.equal((await admin.updateSubscription(sub)).lockDuration, "PT1M");
    assert.deepEqual((await admin.getRule(topic, "s", "first")).filter.sqlExpression, "a = 1");
    assert.equal((await admin.getTopicRuntimeProperties(topic)).subscriptionCount, 1);
    const state = await admin.getSubscriptionRuntimeProperties(topic, "s");
    assert.equal(state.totalMessageCount, 0);
    assert.ok(await admin.subscriptionExists(topic, "s"));
    await admin.deleteSubscription(topic, "s");
    assert.equal(await admin.subscriptionExists(topic, "s"), false);
    await admin.deleteTopic(topic);
    assert.equal(await admin.topicExists(topic), false);
  });

  await check("administration: rules with every type of value", async () => {
    const topic = bus.name("topic");
    await admin.createTopic(topic);
    await admin.createSubscription(topic, "s");
    const values = { text: "it's <b>", number: 1.5, whole: 7, flag: true, when: new Date("2026-11-21T12:00:00.000Z") };
    const sqlParameters = Object.fromEntries(Object.entries(values).map(([k, v]) => [`@${k}`, v]));
    const rule = await admin.createRule(topic, "s", "sql", { sqlExpression: "a=@text OR b=@when", sqlParameters },
      { sqlExpression: "SET c=@number", sqlParameters });
    assert.deepEqual(rule.filter.sqlParameters, sqlParameters);
    assert.deepEqual(rule.action.sqlParameters, sqlParameters);
    const filter = { subject: "s", to: "t", messageId: "m", applicationProperties: values };
    const correlation = await admin.createRule(topic, "s", "correlation", filter);
    assert.deepEqual(JSON.parse(JSON.stringify(correlation.filter)), JSON.parse(JSON.stringify(filter)));
    rule.filter.sqlExpression = "a=@flag";
    assert.equal((await admin.updateRule(topic, "s", rule)).filter.sqlExpression, "a=@flag");
    const names = [];
    for await (const r of admin.listRules(topic, "s")) names.push(r.name);
    assert.deepEqual(names.sort(), ["$Default", "correlation", "sql"]);
    await admin.deleteRule(topic, "s", "sql");
    assert.equal(await admin.ruleExists(topic, "s", "sql"), false);
  });

  await check("administration: lists, page by page", async () => {
    const prefix = bus.name("page");
    for (let i = 0; i < 5; i++) await admin.createQueue(`${prefix}-${i}`);
    const pages = [];
    for await (const page of admin.listQueues().byPage({ maxPageSize: 2 })) pages.push(page.length);
    const names = [];
    for await (const q of admin.listQueues()) names.push(q.name);
    assert.equal(names.filter((n) => n.startsWith(prefix)).length, 5);
    assert.equal(pages.reduce((a, b) => a + b, 0), names.length);
    const states = [];
    for await (const q of admin.listQueuesRuntimeProperties()) states.push(q.name);
    assert.deepEqual(states, names);
  });

  await check("administration: error codes", async () => {
    const queue = await bus.queue();
    await fails(() => admin.createQueue(queue), "MessageEntityAlreadyExistsError");
    await fails(() => admin.getQueue("js-nowhere"), "MessageEntityNotFoundError");
    await fails(() => admin.deleteQueue("js-nowhere"), "MessageEntityNotFoundError");
    await fails(() => admin.getSubscription("js-nowhere", "s"), "MessageEntityNotFoundError");
    const gone = await admin.getQueue(queue);
    await admin.deleteQueue(queue);
    await fails(() => admin.updateQueue(gone), "MessageEntityNotFoundError");
    await fails(() => admin.createQueue(bus.name("queue"), { lockDuration: "PT1H" }), "ServiceError");
    const wrong = new admin.constructor(bus.tls.replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=wrong"));
    await fails(() => wrong.getQueue("js-nowhere"), "UnauthorizedRequestError");
  });
}
