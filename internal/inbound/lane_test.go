package inbound

import (
	"testing"
	"testing/synctest"
)

func TestFilesOfASessionAreImportedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.log = true
		w.fill(3, 5, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 15 || r.Unknown != 0 {
			t.Fatalf("%+v", r)
		}
	})
}
