package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Sessions lists the IDs of all sessions of src that have messages or state.
func (b *Bus) Sessions(ctx context.Context, src Source) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		g, err := b.links.use()
		if err != nil {
			yield("", err)
			return
		}
		defer g.done()
		pager := g.NewListSessionsForQueuePager(src.Queue, nil)
		if src.Queue == "" {
			pager = g.NewListSessionsForSubscriptionPager(src.Topic, src.Subscription, nil)
		}
		for pager.More() {
			page, err := bounded(ctx, g, b.linkBound(), func(ctx context.Context) (azservicebus.ListSessionsResponse, error) {
				return pager.NextPage(ctx)
			}, nil)
			if err != nil {
				if err = named(err); ctx.Err() == nil && !Final(err) && b.knowsNoSessions(ctx, src) {
					err = ErrNoSessions
				}
				yield("", fmt.Errorf("list sessions of %s: %w", src, err))
				return
			}
			for _, id := range page.Sessions {
				if !yield(id, nil) {
					return
				}
			}
		}
	}
}

// knowsNoSessions asks by accepting a session, which the broker answers plainly. The SDK calls every refusal to list
// them a lost connection.
func (b *Bus) knowsNoSessions(ctx context.Context, src Source) bool {
	s, err := b.AcceptByID(ctx, src, "fnobridge-probe")
	if err != nil {
		return errors.Is(err, ErrNoSessions)
	}
	_ = s.Close(ctx) // nothing was done with it
	return false
}
