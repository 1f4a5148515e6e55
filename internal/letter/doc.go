// Package letter holds the dead letter as the bridge writes it: its reason, its description, its properties, and what a
// person can do about each reason.
package letter
