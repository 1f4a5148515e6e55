package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes.
type Size int64

// Units of sizes. Service Bus and F&O state their limits in both; the file says which is meant.
const (
	Byte Size = 1
	KB        = 1000 * Byte
	MB        = 1000 * KB
	GB        = 1000 * MB
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
)

// sizeUnits in the order in which String tries them: the largest unit that divides the size wins.
var sizeUnits = []struct {
	name string
	size Size
}{{"GB", GB}, {"GiB", GiB}, {"MB", MB}, {"MiB", MiB}, {"KB", KB}, {"KiB", KiB}, {"B", Byte}}

// ParseSize reads a number with a unit: B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024). A number
// without a unit is bytes. Fractions are allowed as long as whole bytes come out.
func ParseSize(text string) (Size, error) {
	s := strings.TrimSpace(text)
	digits := strings.TrimRight(s, "BKMGibkmg")
	unit := s[len(digits):]
	factor := Byte
	if unit != "" {
		factor = 0
		for _, u := range sizeUnits {
			if strings.EqualFold(u.name, unit) {
				factor = u.size
			}
		}
		if factor == 0 {
			return 0, fmt.Errorf("unit %q is not one of B, KB, MB, GB, KiB, MiB, GiB", unit)
		}
	}
	digits = strings.TrimSpace(digits)
	if digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, errors.New("not a number and a unit")
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/int64(factor) {
			return 0, errors.New("out of range")
		}
		return Size(n) * factor, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, errors.New("not a number and a unit")
	}
	bytes := f * float64(factor)
	if bytes < 0 || bytes > 1<<53 || bytes != math.Trunc(bytes) {
		return 0, errors.New("not a whole number of bytes")
	}
	return Size(bytes), nil
}

// String returns the size in the largest unit that needs no fraction; ParseSize reads it back.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}
