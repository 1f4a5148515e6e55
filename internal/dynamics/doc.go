// Package dynamics talks to Dynamics 365 Finance and Operations (F&O): the recurring integrations API (enqueue, dequeue,
// download, ack) and the OData actions that tell how an import ended.
//
// What is promised:
//
//   - Every error is a *failure.Failure whose verdict comes from one total table (verdict.go).
//   - After an Enqueue that failed the caller knows which of two things holds: F&O took nothing (Retry, Reject, Pause),
//     or nobody can say (Unknown). The client never guesses in the first direction.
//   - The access token goes to the configured host over TLS and nowhere else. Redirects are not followed, cookies are
//     neither kept nor sent. No error holds a token, a secret or the query part of a URL.
//
// What is not: retries. One call is one attempt (and one more after a 401, with a fresh token); bounds, backoff and the
// order of attempts belong to the caller, who enters the environment's Gate before each call.
package dynamics
