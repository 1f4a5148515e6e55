package inbound

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set("24") // the rows over TCP wait for bounds most of their time
	}
	goleak.VerifyTestMain(m)
}
