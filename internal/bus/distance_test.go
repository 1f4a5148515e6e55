package bus

import (
	"testing"
	"time"
)

func TestBoundsFollowTheMeasuredRoundTrip(t *testing.T) {
	const floor = 2 * time.Second
	var d distance
	if b := d.bound(floor); b != floor {
		t.Errorf("%s before the first answer", b)
	}
	for range 100 {
		d.answered(20 * time.Millisecond)
	}
	if b := d.bound(floor); b != floor {
		t.Errorf("%s in the same region", b)
	}
	for range 100 {
		d.answered(time.Second)
	}
	if b := d.bound(floor); b < 7900*time.Millisecond || b > 9*time.Second {
		t.Errorf("%s when answers take a second", b)
	}
	for range 100 {
		d.answered(20 * time.Millisecond)
	}
	if b := d.bound(floor); b != floor {
		t.Errorf("%s after the line is free again", b)
	}
}

func TestAnAnswerThatComesTooLateIsWaitedForLonger(t *testing.T) {
	var d distance
	d.answered(10 * time.Millisecond)
	for range 10 {
		d.silent()
	}
	if b := d.bound(2 * time.Second); b != 8*time.Second {
		t.Errorf("%s after ten calls without an answer", b)
	}
	d.answered(3 * time.Second)
	if b := d.bound(2 * time.Second); b < 5*time.Second {
		t.Errorf("%s after an answer that took 3 s", b)
	}
}
