package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAsked is the longest wait that is believed: a clock that is off, or a mistake, must not stop an environment for a
// year.
const maxAsked = time.Hour

// Asked returns how long the other side wants us to wait, by the value of its Retry-After header, in either of its
// forms; 0 when that is absent, past or nonsense.
// Source: RFC 9110, 10.2.3.
func Asked(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	var d time.Duration
	if s, err := strconv.ParseInt(header, 10, 64); err == nil {
		d = time.Duration(max(0, min(s, int64(maxAsked/time.Second)))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return max(0, min(d, maxAsked))
}
