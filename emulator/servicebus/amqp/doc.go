// Package amqp is an AMQP 1.0 codec for the server side: values, frames, performatives and the sections of a message.
//
// It promises to survive any input: a decoder returns an error wrapping ErrMalformed and never allocates more than a
// small multiple of the bytes it was given. Message bodies and footers are never decoded: they pass through as the
// bytes the sender wrote. It does not promise to re-encode a value with the same constructor the sender chose.
//
// Source: OASIS AMQP 1.0, parts 1 (types), 2 (transport), 3 (messaging) and 5 (security).
package amqp
