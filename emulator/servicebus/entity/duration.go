package entity

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// forever is how Azure writes the longest time span of .NET.
const forever = "P10675199DT2H48M5.4775807S"

// ISO 8601 as .NET's XmlConvert reads it.
var durationForm = regexp.MustCompile(
	`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// Nanoseconds of each group of durationForm; a year is 365 days and a month 30, as in .NET.
var durationUnits = []time.Duration{365 * day, 30 * day, day, time.Hour, time.Minute, time.Second}

const day = 24 * time.Hour

// ParseDuration reads an ISO 8601 duration such as "PT1M30S" or "P14D". What is too long for a Go duration (292 years)
// becomes Forever.
func ParseDuration(s string) (time.Duration, error) {
	parts := durationForm.FindStringSubmatch(s)
	if parts == nil || !strings.ContainsAny(s, "0123456789") || strings.HasSuffix(s, "T") {
		return 0, fmt.Errorf("%w, is %q", errDuration, s)
	}
	total := new(big.Rat)
	for i, digits := range parts[1:] {
		if digits == "" {
			continue
		}
		if len(digits) > 40 { // more than any clock needs, and slow to calculate with
			return 0, fmt.Errorf("%w, is %q", errDuration, s)
		}
		n, ok := new(big.Rat).SetString(digits)
		if !ok {
			return 0, fmt.Errorf("%w, is %q", errDuration, s)
		}
		total.Add(total, n.Mul(n, new(big.Rat).SetInt64(int64(durationUnits[i]))))
	}
	whole := new(big.Int).Quo(total.Num(), total.Denom())
	if !whole.IsInt64() || whole.Int64() == math.MaxInt64 {
		return Forever, nil
	}
	return time.Duration(whole.Int64()), nil
}

var errDuration = errors.New(`must be an ISO 8601 duration like "PT1M" or "P14D"`)

// FormatDuration writes a duration as .NET does, in days, hours, minutes and seconds without empty parts; negative ones
// do not occur.
func FormatDuration(d time.Duration) string {
	if d == Forever {
		return forever
	}
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	b.WriteByte('P')
	if days := d / day; days > 0 {
		fmt.Fprintf(&b, "%dD", days)
	}
	if d %= day; d == 0 {
		return b.String()
	}
	b.WriteByte('T')
	if hours := d / time.Hour; hours > 0 {
		fmt.Fprintf(&b, "%dH", hours)
	}
	d %= time.Hour
	if minutes := d / time.Minute; minutes > 0 {
		fmt.Fprintf(&b, "%dM", minutes)
	}
	if d %= time.Minute; d > 0 {
		fraction := strings.TrimRight(fmt.Sprintf(".%09d", d%time.Second), "0.")
		b.WriteString(strconv.FormatInt(int64(d/time.Second), 10) + fraction + "S")
	}
	return b.String()
}
