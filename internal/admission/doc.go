// Package admission says who may do what now. A worker has more sessions than it can work at, an environment of F&O
// takes so many calls at once and so many questions a second, and sometimes none at all. Whatever a lane wants to begin,
// it asks here first:
//
//	to accept a session      Slots.AwaitAccept   an accept is worth making: there will be something to do for what it finds
//	to begin a file          Slot.AwaitTurn      one slot of so many, for one file; given up while the lane only waits for
//	                                             F&O, time or an operator, lent while its environment is closed
//	to make a call to F&O    Gate.AwaitPass      one of so many at once, none while the environment is closed
//	to ask for a status      Budget.AwaitTurn    one of so many a second; then a pass
//
// They know nothing of each other: a lane that must wait for one says so to the other (Gate.AwaitPass calls back when the
// gate is closed, and the lane lends its slot). What holds over all replicas is a session lock: lease.TakeTurn.
//
// Promised: waiting here is never an attempt of a file, and no wait is without its context.
package admission
