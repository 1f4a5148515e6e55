package payload

import (
	"io"
	"runtime"
	"testing"

	"fnobridge/emulator/storage/storagetest"
)

// zeros is a blob of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// BenchmarkClaimCheck streams 1 GB from Blob Storage, checksum pass and post, and reports how far the heap grew.
func BenchmarkClaimCheck(b *testing.B) {
	const size = 1 << 30
	s := storagetest.New(b)
	s.PutReaderAt("/inbound/big", zeros{}, size)
	// The SHA-256 of 1 GiB of zero bytes.
	const sum = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
	o := newOpener(b)
	b.SetBytes(2 * size)
	var peak uint64
	for b.Loop() {
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		p, err := o.Open(b.Context(), Source{DataRef: s.URL() + "/inbound/big", SHA256: sum}, Rule{Containers: []string{s.URL() + "/inbound"}, MaxSize: size})
		if err != nil {
			b.Fatal(err)
		}
		body, err := p.Reader(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		for n := 0; ; n++ {
			if _, err = body.Read(buf); err != nil {
				break
			}
			if n%1000 == 0 {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapSys-min(before.HeapSys, now.HeapSys))
			}
		}
		if err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak)/(1<<20), "heap-growth-MB")
}
