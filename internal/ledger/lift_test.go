package ledger

import (
	"slices"
	"testing"
)

// Who lifts a hold finds the files that F&O has, or may have, and leaves what the lane still needs.
func TestALiftedLedgerKeepsWhatDidNotMove(t *testing.T) {
	state, err := (&Ledger{
		Watermark: 6, Park: &Park{Mode: Holding, Seq: 7, Reason: "Timeout"},
		Files: []*Entry{
			{Seq: 7, Phase: Waiting}, {Seq: 8, Phase: InFno, FnoID: "x"}, {Seq: 9, Phase: Posting}, {Seq: 10, Phase: Waiting},
		},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Decode(state)
	if err != nil {
		t.Fatal(err)
	}
	if busy := l.Busy(); !slices.Equal(busy, []int64{8, 9}) {
		t.Errorf("F&O may have %v", busy)
	}
	l.Lift([]int64{7, 10})
	if l.Park != nil || l.Watermark != 6 {
		t.Errorf("parked: %v, watermark %d", l.Park, l.Watermark)
	}
	if len(l.Files) != 2 || l.Find(8) == nil || l.Find(9) == nil {
		t.Errorf("files %+v", l.Files)
	}
}
