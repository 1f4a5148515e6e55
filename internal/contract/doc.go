// Package contract holds what a producer and the bridge agree on about a message: which properties it has, what its
// session ID says, what may be an entity or a company, which key makes a repeated file recognisable, and how the queue
// or subscription it comes from is named.
//
// Everybody who reads or writes such a message comes here: the lane, the dead-letter commands, `bridge send`, the
// configuration.
package contract
