package demo

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// window is a terminal that keeps what was written to it, or fails.
type window struct {
	strings.Builder
	broken bool
}

func (s *window) Write(p []byte) (int, error) {
	if s.broken {
		return 0, errors.New("gone")
	}
	return s.Builder.Write(p)
}

func TestTheLiveViewShowsTheLaneWhereItIsAheadOfItsEvents(t *testing.T) {
	out := &window{}
	v := newLiveView(&Terminal{W: out, Width: func() int { return 120 }, Color: true}, time.Now(), []file{
		{session: "usmf/Vendors", entity: "Vendors", company: "usmf"}, {session: "usmf/Vendors", entity: "Vendors"}, {session: "Groups"},
	})
	v.see(status.Event{Session: "usmf/Vendors", Status: status.Processed, FileName: "1.csv"})
	v.see(status.Event{Session: "Groups", Status: status.DeadLettered, FileName: "2.csv", Reason: failure.Timeout})
	v.see(status.Event{Status: status.Paused, Environment: "prod", Reason: failure.Throttled})
	v.draw([]Lane{{Session: "usmf/Vendors", File: "3.csv", Status: "waiting", Waiting: "backing off", Until: time.Now().Add(time.Hour)}})
	for _, want := range []string{
		`2/3 files, 1 dead-lettered, 0 exports`,
		`Vendors +3\.csv +waiting +1/2 +backing off, 3[56]\d\d\.\d s`,
		`Groups +2\.csv +\x1b\[31mDeadLettered +\x1b\[0m +1/1 +Timeout`,
		`environment prod is paused: Throttled`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	v.see(status.Event{Status: status.Resumed, Environment: "prod"})
	out.Reset()
	v.draw(nil)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[5A") || strings.Contains(got, "paused") || !strings.Contains(got, "1.csv") {
		t.Errorf("five lines are to be drawn over, without the pause, with what was published last:\n%q", got)
	}
	out.broken = true
	v.draw(nil) // a terminal that went away ends nothing
}

func TestLinesAreCutToTheTerminal(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"short", 10, "short"},
		{"0123456789", 10, "012345678"}, // the last column stays free: some terminals wrap when it is written
		{"\x1b[31mGröße\x1b[0m und mehr", 6, "\x1b[31mGröße\x1b[0m"},
		{"any", 0, "any"},
	} {
		if got := clip(c.text, c.width); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

// Every tone of the status table but the plain one has a colour of its own, so a new row needs no other place.
func TestEveryToneHasItsColour(t *testing.T) {
	v := newLiveView(&Terminal{Color: true}, time.Now(), nil)
	tones := map[string]status.Tone{}
	for _, s := range status.All() {
		color, _, painted := strings.Cut(v.paint(s, "text"), "text")
		if painted := painted && color != ""; painted != (s.Tone() != status.Plain) {
			t.Errorf("%s of tone %d is painted: %v", s, s.Tone(), painted)
		}
		if other, ok := tones[color]; ok && other != s.Tone() {
			t.Errorf("%s of tone %d has the colour of tone %d", s, s.Tone(), other)
		}
		tones[color] = s.Tone()
	}
	if newLiveView(&Terminal{}, time.Now(), nil).paint(status.Processed, "text") != "text" {
		t.Error("painted without colours")
	}
}
