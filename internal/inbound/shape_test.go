package inbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/failure"
)

// A wireShape is what every call meets while F&O is away.
type wireShape func(op string, req *http.Request) (*http.Response, error)

func (s wireShape) until(over time.Time) wireShape {
	return func(op string, req *http.Request) (*http.Response, error) {
		if time.Now().After(over) {
			return nil, nil
		}
		return s(op, req)
	}
}

// saying answers before the body was read; swallowing has read all of it.
func saying(status int, body string, header ...string) wireShape {
	return func(string, *http.Request) (*http.Response, error) { return reply(status, body, header...), nil }
}

func swallowing(s wireShape) wireShape {
	return func(op string, req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		return s(op, req)
	}
}

func breaking(err error) wireShape {
	return func(string, *http.Request) (*http.Response, error) { return nil, err }
}

func silence(_ string, req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// shapes are all the ways in which F&O is known to be away.
func shapes() map[string]wireShape {
	page := saying(http.StatusOK, "<html><title>Under maintenance</title></html>", "Content-Type", "text/html")
	all := map[string]wireShape{
		"a page with 200":               page,
		"a page with 200 for the body":  swallowing(page),
		"silence before the body":       silence,
		"silence after the body":        swallowing(silence),
		"a reset before the body":       breaking(errReset),
		"a reset after the body":        swallowing(breaking(errReset)),
		"nobody listens":                breaking(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
		"no such host":                  breaking(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "prod.example"}}),
		"a certificate of someone else": breaking(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
	}
	for _, status := range []int{301, 302, 307, 400, 401, 403, 404, 407, 410, 429, 500, 502, 503, 504} {
		all[fmt.Sprintf("HTTP %d", status)] = saying(status, "not now", "Location", "https://login.example/")
		all[fmt.Sprintf("HTTP %d after the body", status)] = swallowing(saying(status, "not now"))
	}
	return all
}

// announced counts what the world is told of a process's environment and of its job.
type announced struct {
	paused, resumed int
	reasons         []failure.Reason
	open            bool
}

func (a *announced) watch(g *admission.Gate) {
	a.open = true
	g.OnChange(func(s admission.GateState) {
		switch {
		case s.Open() == a.open || s.Phase == admission.GateProbing:
		case s.Open():
			a.open = true
			a.resumed++
		default:
			a.open = false
			a.paused++
			a.reasons = append(a.reasons, s.Reason)
		}
	})
}

// An outage of an hour costs nothing but the hour, whatever it looks like. In doubt are at most the files whose posts were on
// their way when it began, and one that is posted into it where there were none.
func TestAnOutageOfAnyShapeIsWaitedOut(t *testing.T) {
	for name, shape := range shapes() {
		for begins, most := range map[time.Duration]int{0: 0, 15 * time.Second: 8} {
			t.Run(fmt.Sprintf("%s/after %s", name, begins), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, w *world) {
					w.b.lock = 5 * time.Minute
					w.route.Timeout, w.o.Sessions = time.Minute, 64
					began := time.Now()
					shape := shape.until(began.Add(begins + time.Hour))
					w.fno.shape = func(op string, req *http.Request) (*http.Response, error) {
						if time.Since(began) < begins {
							return nil, nil
						}
						return shape(op, req)
					}
					files := 10
					if *long {
						files = 50
					}
					w.fill(20, files, nil)
					r := w.start()
					var env, job announced
					env.watch(r.env.Gate())
					job.watch(r.env.Job(theActivity))
					pass(begins + time.Hour - time.Minute)
					w.b.mu.Lock()
					dead := len(w.b.dead)
					w.b.mu.Unlock()
					w.drained()
					if took := time.Since(began); took > begins+time.Hour+20*time.Minute {
						t.Errorf("it took %s", took)
					}
					report := w.check()
					if dead > most || report.Unknown > most || report.Processed+report.Unknown < 20*files || report.DeadLettered > report.Unknown {
						t.Errorf("dead-lettered in the outage: %d; %+v", dead, report)
					}
					if env.paused != 1 || env.resumed != 1 || job.paused+job.resumed > 0 {
						t.Errorf("said of the environment: %+v, of the job: %+v", env, job)
					}
				})
			})
		}
	}
}
