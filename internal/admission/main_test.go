package admission

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBoom = errors.New("boom")

// elapse lets time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }
