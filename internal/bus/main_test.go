package bus

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// PathOf returns where the broker has a source. The tests of package bus_test use it, too.
func PathOf(s Source) string {
	if s.Queue != "" {
		return s.Queue
	}
	return s.Topic + "/Subscriptions/" + s.Subscription
}
