// Package retry holds waiting and the arithmetic of trying again.
//
// A delay is a function of how many attempts failed, so the count can be stored anywhere and survive a restart. Waiting
// is one function, and a context ends it.
package retry
