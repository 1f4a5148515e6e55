// Package payload opens what a message carries: an inline body, a claim check in Blob Storage, a data package, or a raw
// file that a route wraps into one.
//
// What is promised:
//
//   - A Payload has a size before it is read, and can be read from its first byte as often as wanted: a post can be
//     repeated. Every reading returns the same bytes or an error; a blob that changed meanwhile is noticed (If-Match).
//   - A claim-checked payload is never in memory as a whole, nor is it posted before it was checked: size, checksum and
//     package shape come first, each in a streaming pass of its own where it needs one.
//   - A claim check points into one of the route's containers. The token for Blob Storage goes to no other place, and to
//     none over plain HTTP.
//   - Every error is a *failure.Failure: rejections for what the message is guilty of, retries for what storage is.
//
// What is not: that F&O will take the data. Packages are checked for their shape, not for their rows.
package payload
