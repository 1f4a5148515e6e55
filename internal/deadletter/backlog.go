package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"golang.org/x/sync/errgroup"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
)

// A SessionInfo is what can be seen of one session from outside.
type SessionInfo struct {
	ID       string
	Locked   bool // a worker has it: neither its state nor, on some brokers, its messages can be seen
	State    []byte
	Counted  bool // Messages and Oldest are known
	Messages int
	Oldest   time.Time
}

// LookAtSessions looks into every session of a source that has messages or state, except those that skip names. A free
// session is locked for the moment it takes to read its state; its worker, if one wants it, gets it right after.
// Memory grows with the number of sessions.
func LookAtSessions(
	ctx context.Context, b Broker, of contract.Source, skip func(id string) bool,
) ([]SessionInfo, error) {
	var infos []SessionInfo
	for id, err := range b.Sessions(ctx, of) {
		if err != nil {
			return nil, err
		}
		if !skip(id) {
			infos = append(infos, SessionInfo{ID: id})
		}
	}
	// The first free session counts: where the broker answers for all sessions at once, that is all the counting.
	place := make(map[string]*SessionInfo, len(infos))
	for i := range infos {
		place[infos[i].ID] = &infos[i]
	}
	for i := range infos {
		all, err := look(ctx, b, of, &infos[i], place)
		if err != nil {
			return nil, err
		}
		if infos[i].Locked {
			continue
		}
		for j := range infos {
			infos[j].Counted = infos[j].Counted || all
		}
		break
	}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range infos {
		if infos[i].Locked || infos[i].State != nil {
			continue
		}
		g.Go(func() error {
			_, err := look(ctx, b, of, &infos[i], nil)
			return err
		})
	}
	return infos, g.Wait()
}

// look reads one session. With place it counts whatever the broker shows, else only when the session is not counted.
// It reports whether the broker showed messages of other sessions.
func look(
	ctx context.Context, b Broker, of contract.Source, info *SessionInfo, place map[string]*SessionInfo,
) (foreign bool, err error) {
	s, err := b.Session(ctx, of, info.ID)
	if errors.Is(err, bus.ErrTaken) {
		info.Locked = true
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look into session %q: %w", info.ID, err)
	}
	defer closeQuietly(s)
	if info.State, err = s.State(ctx); err != nil {
		return false, fmt.Errorf("look into session %q: %w", info.ID, err)
	}
	if info.State == nil {
		info.State = []byte{} // seen
	}
	if info.Counted {
		return false, nil
	}
	info.Counted = true
	for rm, err := range peekAll(ctx, s, 1, 0) {
		if err != nil {
			return false, fmt.Errorf("count messages of session %q: %w", info.ID, err)
		}
		to := info
		if id := deref(rm.SessionID); id != info.ID {
			foreign = true
			to = place[id]
		}
		if to != nil && rm.State == azservicebus.MessageStateActive {
			to.count(rm)
		}
	}
	return foreign, nil
}

func (i *SessionInfo) count(rm *azservicebus.ReceivedMessage) {
	i.Messages++
	if t := rm.EnqueuedTime; t != nil && (i.Oldest.IsZero() || t.Before(i.Oldest)) {
		i.Oldest = t.UTC()
	}
}
