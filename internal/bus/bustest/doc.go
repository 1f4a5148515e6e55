// Package bustest is Service Bus in this process, for tests: the broker of the emulator without its sockets and without
// the SDK, so that a whole worker runs in a synctest bubble in no time. Its clients behave as package bus does: the
// first failure loses a session, calls on one session run one at a time, and every call is bounded.
//
// Beside it stands what no emulator can offer: a fault for every single call, which says separately whether the call
// takes effect and what its caller hears, and clients that die as a process does.
//
// That it behaves as bus, the SDK and the emulator do together is checked by one suite of tests that runs against both.
// Only tests import it.
package bustest
