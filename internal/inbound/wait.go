package inbound

import (
	"context"
	"time"

	"fnobridge/internal/retry"
)

func wait(ctx context.Context, d time.Duration) bool { return retry.Wait(ctx, d) }
