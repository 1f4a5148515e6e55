package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fnobridge/internal/bus"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
)

// fail returns an error with its exit code and with what to do about it. right is the claim that was needed: listen or
// send.
func (d *deadLetters) fail(err error, e contract.Source, right string) error {
	if err == nil {
		return nil
	}
	is := func(known error) bool { return errors.Is(err, known) }
	switch name := e.String(); {
	case is(deadletter.ErrUsage) && is(bus.ErrNotFound):
		return &exitError{exitNotFound, err, "--to takes a queue; a topic could lose the copies."}
	case is(deadletter.ErrUsage):
		if is(deadletter.ErrCannotTell) {
			return &exitError{exitUsage, err,
				"Send the copies to a queue with --to QUEUE, sign in with the right to manage the topic, or say --unchecked."}
		}
		return usageError{err: err}
	case is(bus.ErrForbidden):
		claim := map[string]string{"listen": "Listen", "send": "Send"}[right]
		hint := busHint(exit(exitAuthorization, err), d.server, name, right)
		return &exitError{exitAuthorization, err, fmt.Sprintf("The %s claim on %s is missing. %s", claim, name, hint)}
	case is(bus.ErrNotFound):
		return &exitError{exitNotFound, err, d.nearest(name)}
	case is(bus.ErrNoSessions):
		return &exitError{exitFailure, err, name + " was created without sessions. " +
			"The bridge reads session-enabled entities only; create it anew with sessions."}
	case is(deadletter.ErrUnreachable):
		return &exitError{exitUnavailable, err, busHint(exit(exitUnavailable, err), d.server, name, right)}
	}
	return err
}

// nearest offers the names of the configuration that look most like name.
func (d *deadLetters) nearest(name string) string {
	names := d.names()
	if len(names) == 0 {
		return fmt.Sprintf("There is no %s in %s: check the name.", name, d.server)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(config.Distance(name, a), config.Distance(name, b))
	})
	return fmt.Sprintf("There is no %s in %s. The configuration names: %s.", name, d.server,
		strings.Join(names[:min(3, len(names))], ", "))
}
