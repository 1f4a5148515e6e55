// Package entity describes what a Service Bus namespace holds: queues, topics, subscriptions, their rules, and their
// access keys.
//
// The descriptions are plain values. They carry every property that Azure lets an owner set, with Azure's defaults
// (NewQueue, NewTopic, NewSubscription), and Validate names every rule they break, not only the first. They carry no
// run-time state: counts, sizes and times of creation belong to the broker that stores them.
//
// Two limits of Azure are deliberately not enforced, so that tests can reach the behaviour behind them quickly: a lock
// may be shorter than Azure's five seconds, and an entity or message size limit may be smaller than the smallest that
// Azure offers.
//
// Whether a SQL filter parses is the business of package rules.
package entity
